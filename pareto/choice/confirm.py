"""Priorities put to one chosen policy again, on prompts that had no part in choosing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pareto.choice.candidates import Candidates
from pareto.choice.checks import Check, demands, put
from pareto.config import Level
from pareto.records import Split
from pareto.store.points import load_points
from pareto.store.run import Run

Word = Literal["confirmed", "not confirmed", "violated"]
_WORSE: tuple[Word, ...] = ("confirmed", "not confirmed", "violated")


@dataclass(frozen=True)
class Confirmation:
    """How a policy stands on fresh prompts."""

    point: str
    split: Split
    checks: tuple[Check, ...]
    """One per demand, at the level's own confidence: there is nothing to choose from any more."""
    words: tuple[Word, ...]
    """Of each: the bound reaches what is wanted (on a level judged on the mean: the mean); the mean alone does; not
    even that."""

    @property
    def overall(self) -> Word:
        """The worst of them; nothing asked is confirmed."""
        return max(self.words, key=_WORSE.index, default="confirmed")

    @property
    def text(self) -> str:
        """A line for each rule."""
        return "\n".join(f"{word}: {c.text}" for word, c in zip(self.words, self.checks, strict=True))

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        checks = [c.to_json() | {"verdict": word} for word, c in zip(self.words, self.checks, strict=True)]
        return {
            "point": self.point,
            "split": self.split,
            "verdict": self.overall,
            "text": self.text,
            "checks": checks,
        }


def confirm(
    run: Run, point_id: str, levels: Sequence[Level], split: Split = "test", kept: Sequence[str] = ()
) -> Confirmation | None:
    """Put each rule to a policy on a split that did not choose it.

    Args:
        run: the policy's run.
        point_id: the policy; the base too.
        levels: the priorities.
        split: where to look.
        kept: what the priorities left on validation: a distance is to the best of these that is measured here.

    Returns:
        ``None`` where the policy is not measured on that split.
    """
    measured = {p.id for p in load_points(run) if p.split == split}
    if point_id not in measured:
        return None
    candidates = Candidates.of(run, split, {point_id, *kept} & measured)
    everyone = np.arange(len(candidates.ids))
    chosen = np.array([candidates.ids.index(point_id)])
    checks = tuple(
        found
        for asked in demands(candidates, levels, among=1)
        for demand in asked
        for found in put(candidates, demand, chosen, everyone)
    )
    return Confirmation(point_id, split, checks, tuple(_word(c) for c in checks))


def _word(found: Check) -> Word:
    if found.passed:
        return "confirmed"
    return "not confirmed" if found.by_confidence else "violated"
