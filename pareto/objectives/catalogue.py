"""The scorers that come with the package, by name. Importing this module imports none of them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal, Protocol

from pareto.config import suggest
from pareto.errors import ParetoError


class RewardFunction(Protocol):
    """TRL's reward signature; ``None`` where the objective does not apply."""

    __name__: str

    def __call__(self, *, prompts: object, completions: object, **columns: object) -> list[float | None]:
        """One score per completion."""
        ...


@dataclass(frozen=True)
class Entry:
    """A scorer of the catalogue."""

    module: str
    """Its module; the function bears the catalogue's name."""
    direction: Literal["maximize", "minimize"]
    """Which way is better, unless the recipe declares another."""
    range: tuple[float, float]
    """What it can return."""


INFINITY = float("inf")
CATALOGUE: dict[str, Entry] = {
    "harmless": Entry("pareto.objectives.harmless", "maximize", (0, 1)),
    "honest": Entry("pareto.objectives.honest", "maximize", (-1, 1)),
    "helpful": Entry("pareto.objectives.helpful", "maximize", (-1, 1)),
    "correct": Entry("pareto.objectives.verifiers.answers", "maximize", (0, 1)),
    "passes_tests": Entry("pareto.objectives.verifiers.programs", "maximize", (0, 1)),
    "concise": Entry("pareto.objectives.text", "maximize", (0, 1)),
    "sentiment": Entry("pareto.objectives.text", "maximize", (-1, 1)),
    "reading_ease": Entry("pareto.objectives.text", "maximize", (-100, 120)),
    "distinct_2": Entry("pareto.objectives.text", "maximize", (0, 1)),
    "length": Entry("pareto.objectives.text", "minimize", (0, INFINITY)),
    "steps_right": Entry("pareto.objectives.process.reward", "maximize", (0, 1)),
}


def entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        ParetoError: no such name; names the nearest.
    """
    if name not in CATALOGUE:
        raise ParetoError(
            f"unknown reward '{name}'; {suggest(name, list(CATALOGUE))} "
            "(or give module:function, or model:<folder or hub id>)"
        )
    return CATALOGUE[name]


def function(name: str) -> RewardFunction:
    """The scorer of a name, imported now.

    Raises:
        ParetoError: no such name.
    """
    return getattr(import_module(entry(name).module), name)  # type: ignore[no-any-return]
