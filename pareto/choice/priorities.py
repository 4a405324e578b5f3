"""Hierarchical priorities: which policies keep them, and why the others do not.

Levels are gone through in order and each sees only what the levels above kept. A level that is judged at a confidence
keeps a policy where the lower bound of its mean does what the rule asks. With n candidates each has the chance
(1 − confidence) / n of passing wrongly, so by the union bound the chance that any policy is kept that truly misses a
threshold is 1 − confidence at most, whichever of them is taken in the end. n stays what it was at the start: what is
left for a lower level was chosen on the same prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from pareto.choice.candidates import Candidates, Indices
from pareto.choice.checks import ROUNDING, Check, Demand, demands, margins, put
from pareto.choice.relaxation import Relaxation, relax
from pareto.config import Level, suggest
from pareto.errors import ParetoError


@dataclass(frozen=True)
class Step:
    """What a level did."""

    level: Level
    entered: tuple[str, ...]
    """What the levels above kept."""
    kept: tuple[str, ...]
    """What it kept of them."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What priorities leave of the candidates. Reasons and relaxation are worked out when they are asked for."""

    levels: tuple[Level, ...]
    steps: tuple[Step, ...]
    """One per level."""
    kept: tuple[str, ...]
    """Ids of the policies that keep all levels, in the candidates' order."""
    candidates: Candidates = field(repr=False)
    _demands: list[list[Demand]] = field(repr=False)

    @cached_property
    def excluded(self) -> dict[str, Check]:
        """Why each other policy is out: the demand that it misses by most, on the level that took it out."""
        reasons: dict[str, Check] = {}
        for step, asked in zip(self.steps, self._demands, strict=True):
            out = self._indices([i for i in step.entered if i not in step.kept])
            rivals = self._indices(step.entered)
            if out.size:
                missed = np.stack([self._missed(d, out, rivals) for d in asked])
                most = missed.argmin(axis=0)
                for at, demand in enumerate(asked):
                    who = out[most == at]
                    reasons |= zip(_ids(self.candidates, who), put(self.candidates, demand, who, rivals), strict=True)
        return reasons

    @cached_property
    def relaxation(self) -> Relaxation | None:
        """The least that has to be given up to keep a policy; ``None`` where one is kept."""
        return None if self.kept else relax(self.candidates, self.levels, self._demands)

    def checks(self, id: str) -> list[Check]:
        """Every demand put to one policy, in order.

        A distance is to the best of what enters its level; where nothing does, of all.

        Raises:
            ParetoError: no such candidate.
        """
        ids = self.candidates.ids
        if id not in ids:
            raise ParetoError(f"no policy '{id}' to choose from; {suggest(id, ids)}")
        return [
            found
            for step, asked in zip(self.steps, self._demands, strict=True)
            for demand in asked
            for found in put(self.candidates, demand, self._indices([id]), self._indices(step.entered or ids))
        ]

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return {
            "levels": [level.model_dump(mode="json") for level in self.levels],
            "candidates": len(self.candidates.ids),
            "kept": list(self.kept),
            "steps": [{"entered": list(s.entered), "kept": list(s.kept)} for s in self.steps],
            "excluded": {i: reason.to_json() for i, reason in self.excluded.items()},
            "relaxation": self.relaxation and self.relaxation.to_json(),
        }

    def _indices(self, ids: Sequence[str]) -> Indices:
        return np.flatnonzero(np.isin(self.candidates.ids, ids))

    def _missed(self, demand: Demand, out: Indices, rivals: Indices) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Margins; on the mean where that is missed already, since it is what the reason will tell."""
        average, _ = margins(self.candidates, demand, out, rivals, None)
        close = average >= -ROUNDING
        if demand.alpha is not None and close.any():
            average[close] = margins(self.candidates, demand, out[close], rivals, demand.alpha)[0]
        return average


def judge(candidates: Candidates, levels: Sequence[Level]) -> Verdict:
    """Find what keeps the levels.

    Args:
        candidates: all policies that one may choose, measured on the split that chooses.
        levels: in order; none keeps everything.

    Raises:
        ParetoError: a level names an objective that the candidates do not have, or a threshold on the wrong side.
    """
    names = candidates.frame.objectives
    for level in levels:
        for name in level.objectives:
            if name not in names:
                raise ParetoError(f"priorities: unknown objective '{name}'; {suggest(name, names)}")
        level.check_directions(candidates.minimised)
    asked = demands(candidates, levels, len(candidates.ids))
    entered = np.arange(len(candidates.ids))
    steps = []
    for level, of_level in zip(levels, asked, strict=True):
        kept = _keeping(candidates, of_level, entered)
        steps.append(Step(level, _ids(candidates, entered), _ids(candidates, kept)))
        entered = kept
    return Verdict(tuple(levels), tuple(steps), _ids(candidates, entered), candidates, asked)


def _keeping(candidates: Candidates, asked: Sequence[Demand], entered: Indices) -> Indices:
    """Those that keep all demands of a level. The means are looked at first, since bounds take longer."""
    left = entered
    for bound in (False, True):
        for demand in asked:
            if left.size and (demand.alpha is not None or not bound):
                margin, _ = margins(candidates, demand, left, entered, demand.alpha if bound else None)
                left = left[margin >= -ROUNDING]
    return left


def _ids(candidates: Candidates, indices: Indices) -> tuple[str, ...]:
    return tuple(candidates.ids[i] for i in indices)
