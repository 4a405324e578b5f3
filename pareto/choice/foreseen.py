"""Priorities put to a policy that nobody has measured: what a prediction says of each rule."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import norm

from pareto.choice.checks import ROUNDING
from pareto.choice.priorities import Verdict
from pareto.config import Level


def _figure(value: float, half: float) -> str:
    return f"{value:.3g}"


@dataclass(frozen=True)
class Doubt:
    """A rule that a prediction does not keep. Values in the objective's own units."""

    objective: str
    mean: float
    """Predicted."""
    half: float
    """Half the width of its 90 % interval."""
    wanted: float
    minimised: bool
    """Less is better."""
    by_confidence: bool
    """It is kept on the mean, but not surely."""

    def text(self, figure: Callable[[float, float], str] = _figure) -> str:
        """One line, such as "harmless 0.93, at least 0.95 wanted"; ``figure`` writes a value with this half width."""
        asked = f"at {'most' if self.minimised else 'least'} {self.wanted:g} wanted"
        unsure = ", but not surely" if self.by_confidence else ""
        return f"{self.objective} {figure(self.mean, self.half)}, {asked}{unsure}"


def doubts(
    levels: Sequence[Level],
    minimised: Collection[str],
    mean: Mapping[str, float],
    std: Mapping[str, float],
    bests: Sequence[Mapping[str, float]] = (),
    tolerance: Mapping[str, float] | None = None,
) -> list[Doubt]:
    """The rules that a prediction misses: by its mean, or on a level with a confidence by its bound at that confidence.

    Args:
        levels: the priorities.
        minimised: objectives of which less is better.
        mean: objective → prediction, in its own units.
        std: objective → its standard deviation.
        bests: for each level, objective → the best that a distance is to, see ``bests``; without, distances to the
            best are not looked at.
        tolerance: objective → misses that are let pass, in own units; default: none but rounding.
    """
    found = []
    for at, level in enumerate(levels):
        z = 0.0 if level.confidence is None else float(norm.ppf(level.confidence))
        for rule in level.rules:
            name, sign = rule.objective, -1.0 if rule.objective in minimised else 1.0
            slack = (tolerance or {}).get(name, ROUNDING)
            wanted = [] if rule.threshold is None else [rule.threshold]
            if rule.within is not None and at < len(bests) and name in bests[at]:
                wanted.append(bests[at][name] - sign * rule.within)
            for limit in wanted:
                lead = sign * (mean[name] - limit)
                # Written so that a mean without a number misses everything.
                kept, sure = lead >= -slack, not z or lead - z * std[name] >= -slack
                if not (kept and sure):
                    half = float(norm.ppf(0.95)) * std[name]
                    found.append(Doubt(name, mean[name], half, limit, sign < 0, kept))
    return found


def bests(verdict: Verdict) -> list[dict[str, float]]:
    """For each level of a verdict, objective → the best mean among the measured policies that enter it."""
    candidates = verdict.candidates
    names, signs = candidates.frame.objectives, candidates.frame.signs
    found: list[dict[str, float]] = []
    for step in verdict.steps:
        rows = [candidates.means[candidates.ids.index(i)] for i in step.entered]
        found.append(
            {
                name: sign * max(sign * float(row[k]) for row in rows if row[k] == row[k])
                for k, (name, sign) in enumerate(zip(names, signs, strict=True))
                if any(row[k] == row[k] for row in rows)
            }
        )
    return found
