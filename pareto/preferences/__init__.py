"""From scores to comparisons: scalarise the objectives at given weights, then pair better with worse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pareto.config import Training
from pareto.records import Comparison, Rollout


def scalarise(scores: NDArray[np.float64], weights: Sequence[float], training: Training) -> NDArray[np.float64]:
    """One number per completion: how good it is at these weights.

    Args:
        scores: (n, m), normalised, larger is better; NaN where an objective does not apply.
        weights: (m,), a point of the simplex.
        training: ``scalarisation`` and ``rho``.

    Returns:
        (n,); an objective that does not apply adds nothing. ``weighted_sum``: sum of w·z. ``chebyshev``: the augmented
        Chebyshev scalarisation of Steuer and Choo (1983), −max w·(z* − z) − ρ·sum w·(z* − z), with the ideal z* taken
        over all completions.
    """
    w = np.asarray(weights)
    if training.scalarisation == "weighted_sum":
        return np.asarray(np.nansum(w * scores, axis=1))
    ideal = np.where(np.isnan(scores), -np.inf, scores).max(axis=0)
    gap = np.nan_to_num(w * (ideal - scores), nan=0.0)
    return np.asarray(-gap.max(axis=1) - training.rho * gap.sum(axis=1))


def compare(
    pool: Sequence[Rollout], scores: NDArray[np.float64], weights: Sequence[float], training: Training
) -> list[Comparison]:
    """Pair each prompt's best with its worst, its second best with its second worst, and so on.

    Args:
        pool: the candidates, those of one prompt next to each other.
        scores: (n, m), normalised, NaN = masked.
        weights: (m,).
        training: ``pairs_per_prompt``, ``min_margin`` and ``comparisons``.

    Returns:
        Comparisons in the order of the pool; indices point into it.
    """
    value = scalarise(scores, weights, training)
    rows_of: dict[str, list[int]] = {}
    for i, rollout in enumerate(pool):
        rows_of.setdefault(rollout.prompt_id, []).append(i)
    out: list[Comparison] = []
    for prompt_id, rows in rows_of.items():
        # One that a weighted objective of this prompt could not score has no place in its order.
        applies = np.isfinite(scores[rows]).any(axis=0) & (np.asarray(weights) > 0)
        whole = [i for i in rows if np.isfinite(scores[i][applies]).all()]
        ranked = sorted(whole, key=lambda i: (-value[i], i))
        for k in range(min(training.pairs_per_prompt, len(ranked) // 2)):
            best, worst = ranked[k], ranked[-1 - k]
            margin = float(value[best] - value[worst])
            if margin > training.min_margin and pool[best].token_ids != pool[worst].token_ids:
                out.append(Comparison(prompt_id, best, worst, margin))
    largest = sorted(range(len(out)), key=lambda i: (-out[i].margin, i))[: training.comparisons]
    return [out[i] for i in sorted(largest)]
