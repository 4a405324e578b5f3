"""Priorities while they are being edited: levels that may still lack something; free of Streamlit."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from pareto.choice.candidates import Candidates
from pareto.choice.levels import CONFIDENCE, level_of
from pareto.config import Level, Rule

SURE = (None, 0.8, 0.9, 0.95, 0.99)
"""Confidences that are offered; ``None``: on the mean."""


@dataclass(frozen=True)
class Draft:
    """A level as it stands in the form."""

    rules: tuple[Rule, ...]
    confidence: float | None = CONFIDENCE


def drafts(levels: Sequence[Level]) -> list[Draft]:
    """Levels as forms."""
    return [Draft(level.rules, level.confidence) for level in levels]


def built(forms: Sequence[Draft], minimised: Collection[str]) -> tuple[tuple[Level, ...], dict[int, str]]:
    """The levels that are complete, and what the others lack.

    Args:
        forms: in order.
        minimised: objectives of which less is better.

    Returns:
        Levels; and index → what is missing there, in words.
    """
    levels: list[Level] = []
    lacking: dict[int, str] = {}
    for k, form in enumerate(forms):
        try:
            levels.append(level_of(form.rules, minimised, form.confidence))
        except ValidationError:
            empty = [rule.objective for rule in form.rules if rule.threshold is None and rule.within is None]
            lacking[k] = f"give {' and '.join(empty)} a threshold or a tolerance" if empty else "choose an objective"
    return tuple(levels), lacking


def with_objectives(form: Draft, chosen: Sequence[str], candidates: Candidates) -> Draft:
    """The level for these objectives: known rules stay, a new one asks to be no worse than the base."""
    known = {rule.objective: rule for rule in form.rules}
    return replace(form, rules=tuple(known.get(name) or fresh(name, candidates) for name in chosen))


def fresh(name: str, candidates: Candidates) -> Rule:
    """A first rule for an objective: the base's mean, rounded to the easier side."""
    frame = candidates.frame
    k = frame.objectives.index(name)
    unit = step(frame.scale[k])
    units = frame.centre[k] / unit
    easy = math.floor(units) if frame.signs[k] > 0 else math.ceil(units)
    return Rule(name, round(easy * unit, 9), None)


def added(forms: Sequence[Draft], candidates: Candidates) -> list[Draft]:
    """One more level, for the first objective that no level names yet."""
    names = candidates.frame.objectives
    used = {rule.objective for form in forms for rule in form.rules}
    name = next((n for n in names if n not in used), names[0])
    return [*forms, Draft((fresh(name, candidates),))]


def moved(forms: Sequence[Draft], k: int, by: int) -> list[Draft]:
    """Level k one place up (−1) or down (+1)."""
    order = list(forms)
    order.insert(k + by, order.pop(k))
    return order


def step(scale: float) -> float:
    """A round step of a number field: 1, 2 or 5 times a power of ten, about a twentieth of the scale."""
    wanted = scale / 20
    power = 10.0 ** math.floor(math.log10(wanted))
    return float(next(f * power for f in (1, 2, 5, 10) if f * power >= wanted * 0.999))


def told(level: Level, minimised: Collection[str]) -> str:
    """A level in words: "harmless at least 0.9, 95 % sure"."""
    asked = []
    for rule in level.rules:
        side = "most" if rule.objective in minimised else "least"
        # Four figures: a relaxed threshold has all of a mean's digits.
        parts = [] if rule.threshold is None else [f"at {side} {rule.threshold:.4g}"]
        parts += [] if rule.within is None else [f"within {rule.within:.4g} of the best"]
        asked.append(f"{rule.objective} {' and '.join(parts)}")
    return f"{', '.join(asked)}, {sure(level.confidence)}"


def sure(confidence: float | None) -> str:
    """A confidence in words."""
    return "on average" if confidence is None else f"{100 * confidence:g} % sure"
