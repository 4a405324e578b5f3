"""Made-up fronts for the tests of priorities, and what keeps a level by the definition alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from pareto.choice.candidates import Candidates
from pareto.choice.levels import level_of
from pareto.config import Level, Rule
from pareto.front.frame import Frame

NAMES = ("a", "b", "c")
SIGNS = (1.0, -1.0, 1.0)  # b is minimised


class Front(NamedTuple):
    """What hypothesis draws: scores on a coarse grid, so that ties and exact hits are common."""

    candidates: Candidates
    levels: tuple[Level, ...]


@st.composite
def fronts(draw: st.DrawFn, confident: bool = False, most: int = 7, within: bool = True) -> Front:
    """Up to ``most`` policies in three objectives, and one to three levels."""
    p = draw(st.integers(1, most))
    q = 40 if confident else draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    base = rng.integers(0, 9, (p, 1, 3)) + (rng.integers(-2, 3, (p, q, 3)) if q > 1 else 0)
    levels = draw(st.lists(level(confident, within), min_size=1, max_size=3))
    return Front(candidates(np.clip(base, 0, 8) / 8), tuple(levels))


@st.composite
def level(draw: st.DrawFn, confident: bool, within: bool = True) -> Level:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    rules = []
    for name in names:
        kinds = draw(st.sampled_from(["threshold", "within", "both"] if within else ["threshold"]))
        threshold = draw(st.integers(0, 9)) / 8 if kinds != "within" else None
        distance = draw(st.integers(0, 4)) / 8 if kinds != "threshold" else None
        rules.append(Rule(name, threshold, distance))
    confidence = draw(st.sampled_from([0.6, 0.9, 0.95])) if confident else None
    return level_of(rules, {"b"}, confidence)


def candidates(scores: np.ndarray, scale: tuple[float, ...] = (0.25, 0.5, 2.0)) -> Candidates:
    """Policies ``p0``, ``p1``, … with scores between 0 and 1, (p, q, 3)."""
    frame = Frame(NAMES, SIGNS, (0.0,) * 3, scale, (-1.0,) * 3)
    return Candidates(tuple(f"p{i}" for i in range(len(scores))), scores, frame, np.zeros(3), np.ones(3))


def misses(front: Front, id: str, level: Level, rivals: tuple[str, ...], looser: float = 0.0) -> bool:
    """By the definition, on the mean: whether a policy breaks a level, loosened by so many base deviations."""
    c = front.candidates
    for rule in level.rules:
        k = NAMES.index(rule.objective)
        slack = looser * c.frame.scale[k] + 1e-8

        def mean(name: str, k: int = k) -> float:
            column = c.scores[c.ids.index(name), :, k].tolist()
            return sum(column) / len(column)

        best = min(map(mean, rivals)) if rule.objective == "b" else max(map(mean, rivals))
        if rule.objective == "b":
            out = rule.threshold is not None and mean(id) > rule.threshold + slack
            out |= rule.within is not None and mean(id) > best + rule.within + slack
        else:
            out = rule.threshold is not None and mean(id) < rule.threshold - slack
            out |= rule.within is not None and mean(id) < best - rule.within - slack
        if out:
            return True
    return False
