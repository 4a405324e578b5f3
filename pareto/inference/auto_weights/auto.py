"""``--weights auto``: the run's policy for a prompt, under its priorities, with the reason in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pareto.choice.admission import admit
from pareto.choice.candidates import Candidates
from pareto.choice.choose import best
from pareto.choice.priorities import judge
from pareto.choice.standing import standing
from pareto.errors import ParetoError
from pareto.frontier import find_point
from pareto.inference.auto_weights.familiar import Neighbour
from pareto.inference.auto_weights.kept import Kept, load
from pareto.inference.auto_weights.learned import Taken
from pareto.inference.auto_weights.measured import embed
from pareto.inference.auto_weights.regression import Floats
from pareto.inference.auto_weights.rule import Rule
from pareto.records import Point
from pareto.store.run import Run


@dataclass(frozen=True)
class Auto:
    """Which policy a prompt gets, and why."""

    point: Point
    """Measured, and within the run's priorities."""
    reason: str
    declined: bool
    """Whether the default is taken for want of certainty."""
    gain: float
    """Expected over the default of what was predicted, in base standard deviations of the stated utility."""
    spread: float
    """Standard deviation of that over the ensemble."""
    barred: str | None
    """The policy that would have been taken if it kept the priorities."""
    types: dict[str, int]
    """Type of prompt → how many of the nearest prompts are of it, the commonest first."""
    nearest: list[Neighbour]
    """Prompts that were learned from."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        told = {k: v for k, v in asdict(self).items() if k != "point"}
        return {"point": self.point.id, "weights": self.point.weights, **told}


@dataclass(frozen=True)
class AutoWeights:
    """A run's learned weights under the priorities that it stands under."""

    run: Run
    kept: Kept
    allowed: tuple[str, ...]
    """Ids of the policies with weights that keep the priorities."""
    embed: Callable[[Sequence[str]], Floats] = embed
    """Texts to features of length 1, (n, d)."""

    @classmethod
    def open(cls, run: Run, embed: Callable[[Sequence[str]], Floats] = embed) -> AutoWeights:
        """Read what was learned.

        Raises:
            ParetoError: nothing was, it is damaged, or the run has other policies since.
        """
        kept = load(run)
        return cls(run, kept, allowed(run, kept.learned.ids), embed)

    @cached_property
    def rule(self) -> Rule:
        """When what is predicted is taken."""
        return self.kept.learned.rule(self.allowed)

    @cached_property
    def free(self) -> Rule:
        """The same, were there no priorities."""
        return self.kept.learned.rule()

    def take(self, prompt: str) -> Auto:
        """The policy for a prompt.

        Raises:
            ParetoError: an empty prompt, or no policy of the run keeps its priorities.
        """
        if not prompt.strip():
            raise ParetoError("weights auto: the prompt is empty")
        learned = self.kept.learned
        x = self.embed([prompt])
        nearest, types = learned.familiar.nearest(x[0])
        if not self.allowed:
            reason = "no policy with weights keeps the priorities; the balanced one of those that do"
            return Auto(best(self.run), reason, True, 0.0, 0.0, None, types, nearest)
        taken = learned.take(x, self.rule)
        freely = learned.ids[learned.take(x, self.free).chosen[0]]
        barred = freely if freely not in self.allowed else None
        return Auto(
            point=find_point(self.run, learned.ids[taken.chosen[0]]),
            reason=self._reason(taken, types, barred),
            declined=bool(taken.declined[0]),
            gain=float(taken.gain[0]),
            spread=float(taken.spread[0]),
            barred=barred,
            types=types,
            nearest=nearest,
        )

    def _reason(self, taken: Taken, types: dict[str, int], barred: str | None) -> str:
        near = ", ".join(f"{count} {kind}" for kind, count in types.items())
        expected = f"a gain of {taken.gain[0]:+.2f} ±{taken.spread[0]:.2f} over the best fixed weights is expected"
        if taken.strange[0]:
            told = "declined, the best fixed weights: it is unlike the prompts that were learned from"
        elif self.rule.threshold == float("inf"):
            told = "declined, the best fixed weights: on prompts held out, nothing that was learned surely beat them"
        elif taken.unsure[0]:
            told = f"declined, the best fixed weights: {expected}, which is not sure"
        elif taken.chosen[0] == self.rule.default:
            told = "the best fixed weights are also the best that is expected for it"
        else:
            told = expected
        kept_out = f"; {barred} would be taken, but breaks a priority" if barred else ""
        return f"{told} (nearest prompts: {near}){kept_out}"


def auto_point(run: Run, prompt: str) -> Auto:
    """The policy for one prompt; who has many opens ``AutoWeights`` once. Raises as that and ``take``."""
    return AutoWeights.open(run).take(prompt)


def allowed(run: Run, ids: Sequence[str]) -> tuple[str, ...]:
    """Those of a run's policies that keep the priorities it stands under and break none on test."""
    levels = standing(run)
    if not levels:
        return tuple(ids)
    verdict = judge(Candidates.of(run), levels)
    return tuple(name for name in ids if admit(run, find_point(run, name), levels, verdict).kept)
