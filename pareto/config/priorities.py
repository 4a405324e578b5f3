"""Levels of priorities, as recipes and commands write them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from pydantic import Field, FiniteFloat, model_validator

from pareto.config.section import Name, Section
from pareto.errors import ParetoError


class Rule(NamedTuple):
    """What a level asks of one objective."""

    objective: str
    threshold: float | None
    """Least value (at_least) or, where the objective is minimised, largest (at_most), in its own units."""
    within: float | None
    """Largest distance to the best that the levels above leave, in the objective's own units."""


Limit = FiniteFloat | dict[Name, FiniteFloat]
"""One number for all objectives of a level, or one for each that it concerns."""


class Level(Section):
    """One level of the priorities: objectives in which a policy must be good enough to be chosen.

    Written with ``objective: NAME`` or ``objectives: [NAME, …]``.
    """

    objectives: tuple[Name, ...] = Field(min_length=1)
    at_least: Limit | None = None
    """Threshold of objectives that are maximised."""
    at_most: Limit | None = None
    """Threshold of objectives that are minimised."""
    within: Limit | None = None
    """Tolerance to the best that the levels above leave, 0 or more."""
    confidence: float | None = Field(0.95, gt=0.5, lt=1)
    """Judged on the lower confidence bound at this confidence, all candidates taken together; null: on the mean."""

    @model_validator(mode="before")
    @classmethod
    def _one(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "objective" in data and "objectives" not in data:
            return {"objectives": [data["objective"]], **{k: v for k, v in data.items() if k != "objective"}}
        return data

    @model_validator(mode="after")
    def _asks(self) -> Level:
        limits = (self.at_least, self.at_most, self.within)
        if all(limit is None for limit in limits):
            raise ValueError("a level needs at_least, at_most or within")
        for limit in limits:
            for name in limit if isinstance(limit, dict) else ():
                if name not in self.objectives:
                    raise ValueError(f"'{name}' is not an objective of this level")
        if any(w < 0 for w in (self.within.values() if isinstance(self.within, dict) else [self.within or 0.0])):
            raise ValueError("within must be 0 or more")
        for rule in self.rules:
            if _of(self.at_least, rule.objective) is not None and _of(self.at_most, rule.objective) is not None:
                raise ValueError(f"'{rule.objective}' has both at_least and at_most")
            if rule.threshold is None and rule.within is None:
                raise ValueError(f"nothing is asked of '{rule.objective}'")
        return self

    @property
    def rules(self) -> tuple[Rule, ...]:
        """One per objective, in the order written."""
        return tuple(
            Rule(name, at_most if (at_least := _of(self.at_least, name)) is None else at_least, _of(self.within, name))
            for name in self.objectives
            for at_most in [_of(self.at_most, name)]
        )

    def check_directions(self, minimised: Collection[str]) -> None:
        """Refuse a threshold that lies on the wrong side.

        Args:
            minimised: objectives of which less is better.

        Raises:
            ParetoError: at_least for one of them, or at_most for another.
        """
        for name in self.objectives:
            wrong, right = ("at_least", "at_most") if name in minimised else ("at_most", "at_least")
            if _of(getattr(self, wrong), name) is not None:
                side = "minimised" if name in minimised else "maximised"
                raise ParetoError(f"priorities: '{name}' is {side}: give {right} instead of {wrong}")


def _of(limit: Limit | None, name: str) -> float | None:
    """What a limit says of one objective."""
    return limit.get(name) if isinstance(limit, dict) else limit
