"""The priorities as constraints of a search: how far one policy is from the thresholds, before there are others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pareto.choice.candidates import Candidates
from pareto.choice.checks import demands, margins
from pareto.config import Level
from pareto.store.run import Run


def violations(run: Run, point: str, levels: Sequence[Level], among: int) -> list[float]:
    """One number per threshold, in order: 0 or less where it is kept on validation, in base standard deviations.

    A tolerance to the best needs the other policies and is no constraint of one.

    Args:
        run: the run.
        point: id of a policy measured on validation.
        levels: the priorities.
        among: how many policies will be tried in all, for the confidence.
    """
    alone, who = Candidates.of(run, ids=[point]), np.array([0])
    asked = [demand for level in demands(alone, levels, among) for demand in level if demand.rule.within is None]
    return [float(-margins(alone, demand, who, who, demand.alpha)[0][0]) for demand in asked]
