"""Which answers are worth finishing: those whose beginning scores best.

Speculative rejection (arXiv 2410.20290): all answers are drawn up to some length, their beginnings are scored, and only
a share goes on. How early and how sharply one may cut is read off a pool of whole answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.errors import ParetoError
from pareto.inference.adaptive.orders import orders

Floats = NDArray[np.float64]

KEPT = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
"""Shares that are tried."""


@dataclass(frozen=True)
class Rejection:
    """Ends the less promising answers at their beginning."""

    after: int
    """Tokens after which they are looked at."""
    keep: float
    """Share that goes on, in (0, 1]; one at least."""

    def __post_init__(self) -> None:
        if self.after < 1:
            raise ParetoError(f"early rejection: after {self.after} tokens; wanted 1 or more")
        if not 0 < self.keep <= 1:
            raise ParetoError(f"early rejection: a share of {self.keep:g} goes on; wanted above 0 and at most 1")

    def survivors(self, prefix_utilities: Sequence[float]) -> tuple[int, ...]:
        """Indices of those that go on, rising; of equal ones the earlier.

        Args:
            prefix_utilities: of the beginnings, (n,); NaN and minus infinity have failed and go first.
        """
        promise = np.nan_to_num(np.asarray(prefix_utilities, dtype=float), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        best = np.argsort(-promise, kind="stable")[: kept(len(promise), self.keep)]
        return tuple(sorted(best.tolist()))


def kept(n: int, share: float) -> int:
    """How many of n go on."""
    return min(n, max(1, math.ceil(share * n - 1e-9)))


def promise(prefix: ArrayLike, final: ArrayLike) -> float:
    """Correlation of the beginnings' utility with the whole answers' within prompts, both (prompts, n); NaN: none."""
    known = (np.asarray(x, dtype=float) for x in (prefix, final))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in known)
    scale = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else math.nan


def rejected(
    rule: Rejection, prefix: Floats, utility: Floats, tokens: Floats, n: int, shuffles: int = 200, seed: int = 0
) -> tuple[Floats, Floats]:
    """What best-of-n reaches and draws under a rule, means over shuffled orders of the pool.

    An answer that has ended before the look is neither rejected nor counted among those that may go on.

    Args:
        rule: says who goes on.
        prefix: utilities of the beginnings of ``rule.after`` tokens, (prompts, samples).
        utility: of whole answers, same shape.
        tokens: of whole answers, same shape.
        n: answers that are begun.
        shuffles: orders per prompt.
        seed: of the orders.

    Returns:
        Expected utility of the best finished answer, and tokens drawn, (prompts,) each.
    """
    picked = orders(utility.shape, n, shuffles, seed)
    begun, whole, length = (np.take_along_axis(x[None], picked, axis=2) for x in (prefix, utility, tokens))
    running = length > rule.after
    rank = np.argsort(np.argsort(np.where(running, -begun, np.inf), axis=2, kind="stable"), axis=2)
    counts = np.array([0, *(kept(k, rule.keep) for k in range(1, n + 1))])
    ended_early = running & (rank >= counts[running.sum(axis=2)][..., None])
    best = np.where(ended_early, -np.inf, whole).max(axis=2)
    drawn = np.where(ended_early, rule.after, length).sum(axis=2)
    return best.mean(axis=0), drawn.mean(axis=0)


def fit_rejection(
    prefixes: Mapping[int, ArrayLike],
    utility: ArrayLike,
    tokens: ArrayLike,
    n: int = 8,
    share: float = 0.98,
    seed: int = 0,
) -> Rejection:
    """The rule that draws the fewest tokens of those that keep a share of best-of-n's gain on a pool.

    Args:
        prefixes: tokens of a beginning → utilities of such beginnings, (prompts, samples) each.
        utility: of whole answers, same shape.
        tokens: of whole answers, same shape.
        n: answers that are begun.
        share: of the gain over one answer that must be kept.
        seed: of the orders of the pool.

    Returns:
        The rule; one that keeps all where none that rejects keeps the share.

    Raises:
        ParetoError: no beginnings.
    """
    if not prefixes:
        raise ParetoError("early rejection: no utilities of beginnings to fit to")
    whole, length = np.asarray(utility, dtype=float), np.asarray(tokens, dtype=float)
    alone = float(whole.mean())

    def measure(rule: Rejection) -> tuple[float, float]:
        best, drawn = rejected(rule, np.asarray(prefixes[rule.after], dtype=float), whole, length, n, seed=seed)
        return float(best.mean()) - alone, float(drawn.mean())

    all_kept = Rejection(max(prefixes), 1.0)
    wanted = share * measure(all_kept)[0]
    tried = {rule: measure(rule) for rule in (Rejection(after, k) for after in sorted(prefixes) for k in KEPT)}
    good = {rule: drawn for rule, (gain, drawn) in tried.items() if gain >= wanted}
    return min(good, key=good.__getitem__, default=all_kept)
