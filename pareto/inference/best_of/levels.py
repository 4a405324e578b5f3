"""Priorities on the answers to one prompt: which are left, and which level each of the others breaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pareto.choice.checks import ROUNDING
from pareto.choice.levels import number
from pareto.config import Level, Rule
from pareto.front.frame import Frame

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def sift(
    values: Floats, failed: NDArray[np.bool_], levels: Sequence[Level], frame: Frame
) -> tuple[Indices, list[str | None]]:
    """The answers that keep the levels, each of which sees what the levels above left.

    An answer is held to its own values, so a level's confidence, which is about means over prompts, plays no part.
    Where no answer keeps a level, those that miss it by least stay, in standard deviations of the base policy. An
    objective that could not be measured on an answer counts as missed by more than any that was; one that applies to
    no answer asks nothing.

    Args:
        values: (n, m) in the objectives' own units, NaN where one is not measured; n ≥ 1.
        failed: (n, m), where that is because the reward failed.
        levels: in order.
        frame: names, directions and scale of the m objectives.

    Returns:
        What is left, at least one; for each answer the first level that it breaks, in words, or ``None``.
    """
    left = np.arange(len(values))
    broken: list[str | None] = [None] * len(values)
    for place, level in enumerate(levels, 1):
        missed = np.zeros(len(left))
        reasons = [""] * len(left)
        for rule in level.rules:
            k = frame.objectives.index(rule.objective)
            found = values[left, k]
            if np.isnan(found).all() and not failed[left, k].any():
                continue
            for short, wanted in _demands(rule, found, frame.signs[k]):
                by = np.where(np.isnan(short), np.inf, short / frame.scale[k])
                for i in np.flatnonzero(by > np.maximum(missed, ROUNDING)):
                    value = "is not measured" if np.isnan(found[i]) else f"is {found[i]:.4g}"
                    reasons[i] = f"level {place}: {rule.objective} {value}, wanted {wanted}"
                missed = np.maximum(missed, by)
        for i in np.flatnonzero(missed > ROUNDING):
            broken[left[i]] = broken[left[i]] or reasons[i]
        left = left[missed <= max(ROUNDING, missed.min())]
    return left, broken


def _demands(rule: Rule, found: Floats, sign: float) -> list[tuple[Floats, str]]:
    """By how much each value falls short of the threshold and of the best, and what was wanted."""
    asked: list[tuple[Floats, str]] = []
    side = "or more" if sign > 0 else "or less"
    if rule.threshold is not None:
        asked.append((sign * (rule.threshold - found), f"{number(rule.threshold)} {side}"))
    if rule.within is not None and np.isfinite(found).any():
        best = sign * np.nanmax(sign * found)
        asked.append((sign * (best - found) - rule.within, f"within {number(rule.within)} of the best, {best:.4g}"))
    return asked
