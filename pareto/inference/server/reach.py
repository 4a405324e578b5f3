"""What priorities leave within reach of a server: which policies keep them, and what is near to one that does not."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import cache, cached_property

from pareto.choice.admission import admit
from pareto.choice.confirm import confirm
from pareto.choice.decide import decide
from pareto.choice.foreseen import bests, doubts
from pareto.choice.priorities import Verdict, judge
from pareto.config import Level
from pareto.errors import ParetoError
from pareto.front.dominance import nondominated
from pareto.inference.server.known import Known, Spot


class OutOfReach(ParetoError):
    """What is asked for breaks a priority."""


class Reach:
    """A run's frontier under priorities."""

    def __init__(self, known: Known, levels: Sequence[Level]) -> None:
        self.known, self.levels = known, tuple(levels)
        self.turn = threading.RLock()
        """Held by whoever asks, so that what is worked out once is."""
        self._admitted = cache(self._admit)

    def judge(self) -> None:
        """Work out what takes long, so that nobody waits for it later. Raises as ``verdict``."""
        with self.turn:
            _ = self.allowed

    @cached_property
    def verdict(self) -> Verdict:
        """On the measured policies.

        Raises:
            ParetoError: a threshold on the wrong side.
        """
        candidates = self.known.candidates
        # A copy, since candidates keep every bound that was worked out of them, and anybody can ask for new ones.
        return judge(candidates.take(candidates.ids), self.levels)

    @cached_property
    def allowed(self) -> tuple[str, ...]:
        """Ids of the measured policies that keep the priorities on validation and break none on test."""
        return tuple(id for id in self.verdict.kept if not self.breaks(self.known.at_point(id)))

    @property
    def front(self) -> list[str]:
        """Those of them that no other dominates on validation."""
        candidates = self.known.candidates
        rows = [candidates.ids.index(id) for id in self.allowed]
        on_front = nondominated(candidates.frame.normalise(candidates.means[rows]))
        return [id for id, keep in zip(self.allowed, on_front, strict=True) if keep]

    def breaks(self, spot: Spot) -> str:
        """What a policy breaks, in one line; empty where it keeps everything.

        A measured policy is judged by what was measured; of another the prediction decides: its mean, and where a
        level wants to be sure, its bound. What nothing predicts is not taken for good.
        """
        if not self.levels:
            return ""
        if not spot.coefficients:
            return self._base()
        if spot.point in self.known.candidates.ids:
            return self._admitted(spot.point)
        trend = self.known.trend(spot)
        if trend is None:
            return "nobody has measured it, and nothing that was measured predicts whether it keeps the priorities"
        minimised = self.known.candidates.minimised
        missed = doubts(self.levels, minimised, *trend, bests(self.verdict), self.known.rounding)
        return "; ".join(f"{doubt.text()} (predicted)" for doubt in missed)

    def _admit(self, id: str) -> str:
        """What a measured policy breaks."""
        return _line(admit(self.known.run, self.known.points[id], self.levels, self.verdict).reason)

    def _base(self) -> str:
        """The base is no candidate, so that it is judged alone: on validation it must keep all, on test break none."""
        for split, bad in (("validation", ("violated", "not confirmed")), ("test", ("violated",))):
            found = confirm(self.known.run, "base", self.levels, split, self.verdict.kept)  # type: ignore[arg-type]
            if found is not None and found.overall in bad:
                wrong = (c.text for c, word in zip(found.checks, found.words, strict=True) if word in bad)
                return f"on {split} {_line('; '.join(wrong))}"
        return ""

    def balanced(self) -> Spot:
        """The policy that is nearest to the best of everything.

        Raises:
            OutOfReach: no measured policy keeps the priorities.
        """
        self._check_some()
        return self.known.at_point(decide(self.known.candidates, self.allowed))

    def nearest(self, spot: Spot) -> Spot:
        """An allowed place near to one that is not.

        With a map what it gives for the same weights under the priorities; else the measured policy of the nearest
        weights, or of the nearest coefficients where no weights are known (Euclidean).

        Raises:
            OutOfReach: there is none.
        """
        outlook = self.known.outlook
        if spot.weights is not None and outlook is not None and outlook.source == "map":
            found = self.known.at_weights(spot.weights, self.levels)
            if not self.breaks(found):
                return found
        self._check_some()
        kept = [self.known.at_point(id) for id in self.allowed]
        weighted = [at for at in kept if at.weights is not None] if spot.weights is not None else []
        if weighted:
            return min(weighted, key=lambda at: _distance(at.weights or {}, spot.weights or {}))
        return min(kept, key=lambda at: _distance(at.coefficients, spot.coefficients))

    def _check_some(self) -> None:
        if self.allowed:
            return
        run, relaxation = self.known.run.name, self.verdict.relaxation
        if relaxation is not None:
            raise OutOfReach(f"run '{run}': {_line(relaxation.text)}")
        raise OutOfReach(f"run '{run}': every policy that keeps the priorities on validation breaks one on test")


def _distance(one: dict[str, float], other: dict[str, float]) -> float:
    return math.hypot(*(one.get(name, 0.0) - other.get(name, 0.0) for name in {*one, *other}))


def _line(text: str) -> str:
    return "; ".join(text.splitlines())
