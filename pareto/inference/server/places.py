"""From what a request says it cares about to the policy that answers, within the priorities that the run stands under.

The run's priorities always stand; those of a request come on top. What breaks one is moved to the nearest place that
does not, or refused, and either way it is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pareto.choice.levels import format_levels, number, parse_levels
from pareto.choice.standing import standing
from pareto.config import Level, suggest
from pareto.errors import ParetoError
from pareto.inference.auto_weights.auto import AutoWeights
from pareto.inference.server.judging import ENCODING
from pareto.inference.server.known import Known, Spot, short
from pareto.inference.server.reach import OutOfReach, Reach
from pareto.inference.server.remembering import Remembered
from pareto.store.run import Run

__all__ = ["Breaking", "Model", "OutOfReach", "Place", "Places", "Unjudged", "UnknownModel", "Wish"]

Breaking = Literal["move", "refuse"]
"""What becomes of a request that breaks a priority."""
DEFAULT = "default"
BALANCED, BASE = "balanced", "base"
KEPT = 1024
"""Wishes whose places are remembered."""
KEPT_RULES = 64
"""Sets of priorities whose verdicts are."""
MOST_RULES = 8
"""Of a request: each takes up to a second to be judged, and anybody may ask."""


class UnknownModel(ParetoError):
    """There is no model of that name."""


class Unjudged(Exception):
    """Nobody has asked for these priorities yet."""


@dataclass(frozen=True)
class Wish:
    """What a request asks of the frontier."""

    model: str
    """The run's name, or that and ``@`` with ``balanced``, ``base``, an objective or the id of a measured policy."""
    weights: Mapping[str, float] | Literal["auto"] | None = None
    """Objective → weight, on the simplex; ``auto``: those that were learned for the prompt."""
    coefficients: Mapping[str, float] | None = None
    """Adapter → λ, instead of weights."""
    priorities: str = DEFAULT
    """Rules as ``pareto choose --priorities`` takes them, on top of the run's own; ``default``: no others."""


@dataclass(frozen=True)
class Place:
    """The policy that answers."""

    model: str
    """As it was asked for."""
    coefficients: dict[str, float]
    """Adapter → λ, sorted, without zeros; empty: the base model."""
    weights: dict[str, float] | None
    """The preference that it serves; ``None``: none is known."""
    point: str | None
    """Its id, where it was measured."""
    predicted: dict[str, dict[str, float]]
    """Objective → ``mean``, ``low`` and ``high`` (90 %), in its own units; empty: nothing is known."""
    source: str
    """Where these are from."""
    levels: tuple[Level, ...]
    """The priorities in force."""
    moved: str = ""
    """What was asked, what it would have broken and where it was moved; empty where it was not."""
    reason: str = ""
    """Of automatic weights."""


@dataclass(frozen=True)
class Model:
    """A place that has a name."""

    id: str
    title: str
    """For people."""
    created: int
    """When its run was, seconds since 1970."""
    kept: bool
    """It keeps the run's priorities; else who asks for it is moved or refused."""


class Places:
    """A run's frontier for requests. Any thread may ask."""

    def __init__(self, known: Known, breaking: Breaking, name: str) -> None:
        self.known, self.breaking, self.name = known, breaking, name
        self._standing = format_levels(standing(known.run))
        self.found: Remembered[_Asked, Place | str] = Remembered(KEPT)
        """Places, or why there is none."""
        self.reaches: Remembered[str, Reach] = Remembered(KEPT_RULES)
        """What priorities leave, by their text."""
        self._default = self._reach(self._standing).balanced().point
        self.auto: AutoWeights | str = self._learned()
        """What was learned for prompts, or why nothing was."""
        self.models = self._named()
        """The places that have a name, the default first."""

    @classmethod
    def open(cls, run: Run, breaking: Breaking = "move", name: str | None = None) -> Places:
        """Read a run, once.

        Args:
            run: its policies must be measured.
            breaking: what becomes of a request that breaks a priority.
            name: of its models; default: the run's.

        Raises:
            ParetoError: nothing is measured yet, or something of the run is damaged.
            OutOfReach: no measured policy keeps the priorities that the run stands under.
        """
        return cls(Known.of(run), breaking, name or run.name)

    def at(self, wish: Wish, prompt: str, *, judge: bool = True) -> Place:
        """Where a wish is answered from.

        Args:
            wish: of a request.
            prompt: what is asked; only automatic weights look at it.
            judge: also where its priorities must be judged first, which takes up to a second.

        Raises:
            Unjudged: they must, and ``judge`` is false.
            UnknownModel: there is no such model.
            OutOfReach: it breaks a priority and is not to be moved, or nothing keeps the priorities.
            ParetoError: what it says cannot be read, or is a contradiction.
        """
        if not isinstance(wish.weights, str):
            asked = (wish.model, _items(wish.weights), _items(wish.coefficients), wish.priorities)
            return self._again(asked, judge)
        self._suffix(wish)
        if isinstance(self.auto, str):
            raise ParetoError(self.auto)
        with ENCODING:
            taken = self.auto.take(prompt)
        place = self._again((f"{self.name}@{taken.point.id}", None, None, wish.priorities), judge)
        return replace(place, model=wish.model, reason=taken.reason)

    def _again(self, asked: _Asked, judge: bool) -> Place:
        found = self.found.get(asked) or self.found.put(asked, self._found(*asked, judge))
        if isinstance(found, str):
            raise OutOfReach(found)
        return found

    def _reach(self, rules: str, judge: bool = True) -> Reach:
        reach = self.reaches.get(rules)
        if reach is None:
            if not judge:
                raise Unjudged
            reach = Reach(self.known, parse_levels(rules, self.known.names))
            reach.judge()
            self.reaches.put(rules, reach)
        return reach

    def _found(
        self, model: str, weights: _Items, coefficients: _Items, priorities: str, judge: bool
    ) -> Place | str:  # fmt: skip
        """``at``, for what can be remembered; a text: why it is refused."""
        wish = Wish(model, _mapping(weights), _mapping(coefficients), priorities)
        suffix = self._suffix(wish)
        reach = self._reach(self._rules(priorities), judge)
        with reach.turn:
            if wish.weights is None and wish.coefficients is None and not suffix:
                return self._place(model, reach.balanced(), reach)
            spot = self._spot(wish, suffix)
            broken = reach.breaks(spot)
            if not broken:
                return self._place(model, spot, reach)
            there = reach.nearest(spot)
            asked = f"{_asked(wish)}: out of reach under the priorities: {broken}"
            if self.breaking == "refuse":
                return f"{asked}; the nearest allowed is {self._told(there)}"
            return self._place(model, there, reach, f"{asked}; moved to {self._told(there)}")

    def _suffix(self, wish: Wish) -> str:
        """What follows the run's name in the model's."""
        name, at, suffix = wish.model.partition("@")
        if name != self.name or (at and not suffix):
            raise self._unknown(wish.model)
        if wish.weights is not None and wish.coefficients is not None:
            raise ParetoError("weights and coefficients: give only one of them")
        if suffix and (wish.weights is not None or wish.coefficients is not None):
            what = "coefficients" if wish.weights is None else "weights"
            raise ParetoError(f"{what}: model '{short(wish.model)}' is a place already; ask '{self.name}' for another")
        return suffix

    def _spot(self, wish: Wish, suffix: str) -> Spot:
        names = self.known.names
        if wish.coefficients is not None:
            return self.known.at_coefficients(wish.coefficients)
        if wish.weights is not None:
            assert not isinstance(wish.weights, str)
            return self.known.at_weights(wish.weights)
        if suffix == BALANCED:
            return self.known.at_weights(dict.fromkeys(names, 1 / len(names)))
        if suffix in names:
            return self.known.at_weights({suffix: 1.0})
        if suffix in self.known.points:
            return self.known.at_point(suffix)
        raise self._unknown(wish.model)

    def _rules(self, priorities: str) -> str:
        """The run's own and the request's."""
        if priorities == DEFAULT:
            return self._standing
        more = parse_levels(priorities, self.known.names)
        count = sum(len(level.objectives) for level in more)
        if count > MOST_RULES:
            raise ParetoError(f"priorities: {count} rules; a request can have at most {MOST_RULES}")
        for level in more:
            level.check_directions(self.known.candidates.minimised)
        return ";".join(filter(None, (self._standing, format_levels(more))))

    def _place(self, model: str, spot: Spot, reach: Reach, moved: str = "") -> Place:
        predicted, source = self.known.predicted(spot)
        return Place(model, spot.coefficients, spot.weights, spot.point, predicted, source, reach.levels, moved)

    def _told(self, spot: Spot) -> str:
        if spot.point is None:
            mix = _written(spot.coefficients)
            return f"what the frontier map gives for these weights under the priorities (coefficients {mix})"
        weights = f" (weights {_written(spot.weights)})" if spot.weights else ""
        return f"the measured policy '{self.name}@{spot.point}'{weights}"

    def _unknown(self, model: str) -> UnknownModel:
        name, _, suffix = model.partition("@")
        if name != self.name:
            return UnknownModel(f"unknown model '{short(model)}'; wanted '{self.name}' or '{self.name}@PLACE'")
        known = list(dict.fromkeys((BALANCED, *self.known.names, *self.known.points)))
        return UnknownModel(f"unknown model '{short(model)}': no such place; {suggest(short(suffix), known)}")

    def _learned(self) -> AutoWeights | str:
        try:
            return AutoWeights.open(self.known.run)
        except ParetoError as e:
            return f"weights auto: {e}; then start the server again"

    def _named(self) -> list[Model]:
        reach, names = self._reach(self._standing), self.known.names
        default = f"Balanced within the priorities: {self._default}"
        titles = {BALANCED: "All objectives weigh the same", **{n: f"Only {n} counts" for n in names}}
        titles |= {id: self._title(id) for id in reach.front if id not in titles}
        created = int(datetime.fromisoformat(self.known.run.info["created"]).timestamp())
        found = [Model(self.name, default, created, True)]
        for suffix, title in titles.items():
            try:
                kept = not reach.breaks(self._spot(Wish(f"{self.name}@{suffix}"), suffix))
            except UnknownModel:
                raise
            except ParetoError:  # an expert that is not trained yet
                continue
            found.append(Model(f"{self.name}@{suffix}", title, created, kept))
        if not reach.breaks(Spot({}, None, BASE)):
            found.append(Model(f"{self.name}@{BASE}", "The base model, without any adapter", created, True))
        return found

    def _title(self, id: str) -> str:
        weights = self.known.points[id].weights
        return f"Measured policy {id}" + (f", weights {_written(weights)}" if weights else "")


_Items = tuple[tuple[str, float], ...] | None
_Asked = tuple[str, _Items, _Items, str]
"""Model, weights, coefficients and priorities of a wish."""


def _items(numbers: Mapping[str, float] | None) -> _Items:
    return None if numbers is None else tuple(sorted(numbers.items()))


def _mapping(items: _Items) -> dict[str, float] | None:
    return None if items is None else dict(items)


def _asked(wish: Wish) -> str:
    if wish.coefficients is not None:
        return f"coefficients {_written(wish.coefficients) or 'all 0'}"
    if wish.weights is not None:
        assert not isinstance(wish.weights, str)
        return f"weights {_written(wish.weights)}"
    return f"model '{wish.model}'"


def _written(numbers: Mapping[str, float]) -> str:
    """As an option of a command takes them, without zeros."""
    return ",".join(f"{name}={number(round(value, 4))}" for name, value in numbers.items() if value)
