"""Whether one policy of a run may be used: what its priorities say on validation, and what test makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pareto.choice.candidates import Candidates
from pareto.choice.confirm import Confirmation, confirm
from pareto.choice.levels import format_levels
from pareto.choice.priorities import Verdict, judge
from pareto.config import Level
from pareto.records import Point
from pareto.store.run import Run


@dataclass(frozen=True)
class Admission:
    """The verdict on one policy."""

    levels: tuple[Level, ...]
    measured: bool
    """Whether it was measured on validation; else nothing is known."""
    kept: bool
    """Whether it keeps every level on validation and breaks none on test."""
    reason: str
    """Why not; empty where it is kept."""
    checks: list[dict[str, Any]]
    """Every rule on validation with its value, interval and verdict."""
    confirmation: Confirmation | None
    """The same on test; ``None``: not measured there."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and the exported ``pareto.json``."""
        return {
            "priorities": format_levels(self.levels),
            "measured": self.measured,
            "kept": self.kept,
            "reason": self.reason,
            "validation": self.checks,
            "test": self.confirmation.to_json() if self.confirmation else None,
        }


def admit(run: Run, point: Point, levels: Sequence[Level], verdict: Verdict | None = None) -> Admission:
    """Judge a policy among all of its run's.

    Args:
        run: the run.
        point: measured or not.
        levels: the priorities; without any, everything is kept.
        verdict: what they keep, where that is known already.
    """
    levels = tuple(levels)
    if not levels:
        return Admission(levels, measured=True, kept=True, reason="", checks=[], confirmation=None)
    candidates = verdict.candidates if verdict else Candidates.of(run)
    if point.kind == "base":
        return _of_base(run, point, levels, verdict or judge(candidates, levels))
    if point.id not in candidates.ids:
        return _unmeasured(levels)
    found = verdict or judge(candidates, levels)
    test = confirm(run, point.id, levels, kept=found.kept)
    reason = "" if point.id in found.kept else found.excluded[point.id].text
    if not reason and test is not None and test.overall == "violated":
        reason = f"kept on validation but broken on test: {test.text}"
    return Admission(levels, True, not reason, reason, [c.to_json() for c in found.checks(point.id)], test)


def _of_base(run: Run, point: Point, levels: tuple[Level, ...], verdict: Verdict) -> Admission:
    """The base is no candidate, so that it is judged alone: on validation it must keep all, on test break none."""
    found = confirm(run, point.id, levels, "validation", verdict.kept)
    if found is None:
        return _unmeasured(levels)
    test = confirm(run, point.id, levels, kept=verdict.kept)
    missed = [c.text for c, word in zip(found.checks, found.words, strict=True) if word != "confirmed"]
    reason = "; ".join(missed)
    if not reason and test is not None and test.overall == "violated":
        reason = f"kept on validation but broken on test: {test.text}"
    return Admission(levels, True, not reason, reason, [c.to_json() for c in found.checks], test)


def _unmeasured(levels: tuple[Level, ...]) -> Admission:
    why = "not measured, so nobody knows whether it keeps the priorities"
    return Admission(levels, measured=False, kept=False, reason=why, checks=[], confirmation=None)
