"""The best of k answers, from n that are drawn: the mean over all subsets of k, without drawing any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.errors import ParetoError
from pareto.objectives.ensemble.overoptimisation import best_of_n

Floats = NDArray[np.float64]


def best_of_curve(scores: ArrayLike, ks: Sequence[int]) -> Floats:
    """Expected best of k of n scores, drawn without replacement: the mean over all C(n, k) subsets.

    Without bias for the best of k fresh draws, since each subset is one.

    Args:
        scores: (n,) or (prompts, n), finite.
        ks: how many are drawn, 1 to n each.

    Returns:
        (len(ks),) or (prompts, len(ks)), in the scores' units.

    Raises:
        ParetoError: k out of range, no scores, or scores that are not finite.
    """
    return selected_curve(scores, scores, ks)


def selected_curve(proxy: ArrayLike, gold: ArrayLike, ks: Sequence[int]) -> Floats:
    """Expected gold of the answer that a proxy likes best of k; those it likes alike are chosen alike often.

    Args:
        proxy: what selects, (n,) or (prompts, n), finite.
        gold: what counts, same shape.
        ks: see ``best_of_curve``.

    Returns:
        (len(ks),) or (prompts, len(ks)), in gold's units.

    Raises:
        ParetoError: see ``best_of_curve``; or shapes that differ.
    """
    likes, counts = np.asarray(proxy, dtype=float), np.asarray(gold, dtype=float)
    if likes.shape != counts.shape or likes.ndim not in (1, 2) or not likes.size:
        raise ParetoError(
            f"best-of-n curve: scores {likes.shape} and {counts.shape}; wanted (n,) or (prompts, n), the same of both"
        )
    if not (np.isfinite(likes).all() and np.isfinite(counts).all()):
        raise ParetoError("best-of-n curve: a score is NaN or infinite")
    n = likes.shape[-1]
    for k in ks:
        if not 1 <= k <= n:
            raise ParetoError(f"best-of-n curve: the best of {k} cannot be told from {n} scores; k goes from 1 to {n}")
    rows = zip(np.atleast_2d(likes), np.atleast_2d(counts), strict=True)
    shared = np.stack([_shared(row, values) for row, values in rows])
    curve = best_of_n(np.atleast_2d(likes), shared, ks).gold
    return np.asarray(curve[0] if likes.ndim == 1 else curve)


def _shared(proxy: Floats, gold: Floats) -> Floats:
    """Gold with its mean in place of each of those that the proxy likes alike, (n,) both."""
    _, group = np.unique(proxy, return_inverse=True)
    return np.asarray((np.bincount(group, weights=gold) / np.bincount(group))[group])
