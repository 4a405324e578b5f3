"""What each level of the priorities costs in the objectives that it does not name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pareto.choice.candidates import Candidates
from pareto.choice.priorities import Verdict, judge
from pareto.config import Level
from pareto.front.statistics import paired_difference


@dataclass(frozen=True)
class Price:
    """Best mean of an objective without a level, less the best with it, the other levels in force both times."""

    level: int
    """Index of the level."""
    objective: str
    cost: float | None
    """In own units, positive where the level costs; ``None`` where nothing is kept without it or with it."""
    se: float | None
    """Standard error over prompts of the paired difference of those two policies; ``None`` with fewer than two."""
    best_without: str | None
    """The policy that is best in the objective without the level."""
    best_with: str | None
    """With it."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


def prices(candidates: Candidates, levels: Sequence[Level]) -> list[Price]:
    """The price list, by level, then by objective in the frame's order.

    Args:
        candidates: all policies, on the split that chooses.
        levels: in order.
    """
    whole = judge(candidates, levels)
    return [
        _price(candidates, at, k, without, whole)
        for at, level in enumerate(levels)
        for without in [judge(candidates, [*levels[:at], *levels[at + 1 :]])]
        for k, name in enumerate(candidates.frame.objectives)
        if name not in level.objectives
    ]


def _price(candidates: Candidates, level: int, k: int, without: Verdict, whole: Verdict) -> Price:
    name, sign = candidates.frame.objectives[k], candidates.frame.signs[k]
    i, j = _best(candidates, without, k), _best(candidates, whole, k)
    if i is None or j is None:
        known = [None if x is None else candidates.ids[x] for x in (i, j)]
        return Price(level, name, None, None, *known)
    _, se, _ = paired_difference(candidates.scores[i, :, k], candidates.scores[j, :, k])
    cost = float(sign * (candidates.means[i, k] - candidates.means[j, k]))
    return Price(level, name, cost, None if math.isnan(se) else se, candidates.ids[i], candidates.ids[j])


def _best(candidates: Candidates, verdict: Verdict, k: int) -> int | None:
    """Index of the kept policy of best mean; of equals the one of least name."""
    kept = sorted((i for i, name in enumerate(candidates.ids) if name in verdict.kept), key=candidates.ids.__getitem__)
    values = candidates.frame.signs[k] * candidates.means[kept, k] if kept else np.empty(0)
    return None if np.isnan(values).all() else kept[int(np.nanargmax(values))]
