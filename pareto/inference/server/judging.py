"""What a run's rewards say of served answers."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

from pareto.inference.best_of.scoring import Judge
from pareto.objectives.ensemble.reward import EnsembleReward
from pareto.objectives.load import Reward
from pareto.records import Prompt
from pareto.store.run import Run

if TYPE_CHECKING:
    from pareto.inference.server.engine import Row
    from pareto.inference.server.places import Place

ENCODING = threading.RLock()
"""Held by whoever calls the sentence encoder or a reward: their tokenizers serve one thread at a time."""


class Told(TypedDict):
    """What one objective says of an answer, in its own units."""

    value: float | None
    """``None``: it does not apply, or its reward failed."""
    spread: float | None
    """Standard deviation among the members, nats; ``None``: there is no more than one."""
    flagged: bool
    """The spread is above the ensemble's threshold for review."""


class Judged(TypedDict):
    """How one of several answers stands."""

    scores: dict[str, float | None]
    """Objective → value in its own units."""
    utility: float
    """See ``Judge.rank``."""
    broken: str | None
    """The first level of the priorities that it breaks, in words."""
    failures: dict[str, str]
    """Objective → why its reward failed."""


@dataclass(frozen=True)
class Judging:
    """The rewards of a run, opened once. Any thread may ask; one is served at a time."""

    judge: Judge
    """Under equal weights and the run's priorities."""
    most_tokens: int
    """Length of an answer that rewards hold lengths against: the one that the run was measured with."""

    @classmethod
    def of(cls, run: Run) -> Judging:
        """Open a run's rewards. Raises as ``Judge.of``."""
        return cls(Judge.of(run), run.recipe.sampling.max_new_tokens)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the objectives, in order."""
        return self.judge.frame.objectives

    def best(self, place: Place, prompt: str, rows: Sequence[Row]) -> tuple[int, list[Judged]]:
        """The best of several answers under a place's weights (where none are known: equal ones) and priorities.

        Returns:
            Its index, and what is thought of each.

        Raises:
            ParetoError: something that a reward needs is missing.
        """
        weights = self.judge.weights if place.weights is None else tuple(place.weights.get(n, 0.0) for n in self.names)
        judge = replace(self.judge, weights=weights, levels=place.levels)
        with ENCODING:
            scored = judge.score(_record(prompt), [r.text for r in rows], [r.tokens for r in rows], self.most_tokens)
        ranked = judge.rank(scored)
        told: list[Judged] = [
            {
                "scores": {name: _number(value) for name, value in zip(self.names, values, strict=True)},
                "utility": float(utility),
                "broken": broken,
                "failures": failures,
            }
            for values, utility, broken, failures in zip(
                scored.values.tolist(), ranked.utility, ranked.broken, scored.failures, strict=True
            )
        ]
        return ranked.chosen, told

    def rewards(self, prompt: str, row: Row) -> dict[str, Told]:
        """What each objective says of one answer. Raises as ``best``."""
        heard: dict[str, _Doubt] = {}
        judge = replace(self.judge, rewards=tuple(_heard(reward, heard) for reward in self.judge.rewards))
        with ENCODING:
            scored = judge.score(_record(prompt), [row.text], [row.tokens], self.most_tokens)
        values = zip(self.names, scored.values[0].tolist(), strict=True)
        return {name: _told(value, heard.get(name)) for name, value in values}


@dataclass(frozen=True)
class _Doubt:
    spread: float
    flagged: bool


def _heard(reward: Reward, heard: dict[str, _Doubt]) -> Reward:
    """A reward of one answer that, where two or more models give it, puts their doubt there under its name."""
    function = reward.function
    if not isinstance(function, EnsembleReward) or function.ensemble.size < 2:
        return reward

    def hear(prompts: Sequence[str], completions: Sequence[str], **columns: Any) -> list[float]:
        values, scores = function.scored(prompts, completions)
        heard[reward.name] = _Doubt(float(scores.spread[0]), bool(function.doubted(scores)[0]))
        return list(map(float, values))

    return replace(reward, function=hear)


def _told(value: float, doubt: _Doubt | None) -> Told:
    number = _number(value)
    if number is None or doubt is None:
        return {"value": number, "spread": None, "flagged": False}
    return {"value": number, "spread": doubt.spread, "flagged": doubt.flagged}


def _record(prompt: str) -> Prompt:
    return Prompt("asked", prompt, "asked")


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
