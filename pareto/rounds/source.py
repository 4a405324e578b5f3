"""Where questions wait for people: in a series of rounds, or in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pareto.errors import ParetoError
from pareto.preferences.annotation import questions
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.rounds.store import SUFFIX, Rounds, owner
from pareto.store.run import Run

Opened = Callable[[Path], AnnotationQueue]


@dataclass(frozen=True)
class Source:
    """A queue, and what there is to know about its questions."""

    name: str
    queue: AnnotationQueue
    objectives: tuple[str, ...]
    """In order of priority."""
    criteria: Mapping[str, str]
    """Objective → what it means, in the recipe's own words."""
    run: Run | None
    """Whose measured completions can be asked about; ``None`` for rounds, which ask by themselves."""

    @classmethod
    def of_rounds(cls, series: Rounds, queue: Opened = AnnotationQueue) -> Source:
        """A series of rounds; ``queue`` opens its folder."""
        recipe = series.recipe
        return cls(series.path.name, queue(series.path / "labels"), recipe.names, recipe.rounds.labels.criteria, None)

    @classmethod
    def of_run(cls, run: Run, queue: Opened = AnnotationQueue) -> Source:
        """A run by itself; ``queue`` opens its folder."""
        recipe = run.recipe
        return cls(run.path.name, queue(run.path / "labels"), recipe.names, recipe.rounds.labels.criteria, run)

    @classmethod
    def find(cls, name: str, root: Path) -> Source:
        """By the name of a run or of rounds; the questions of a round's run are the rounds'.

        Raises:
            ParetoError: neither is there.
        """
        name = f"{own}{SUFFIX}" if (own := owner(root, name)) else name
        try:
            run = Run.open(name, root)
        except ParetoError as no_run:
            try:
                rounds = Rounds.open(name, root)
            except ParetoError as no_rounds:
                raise ParetoError(f"{no_run}; {no_rounds}") from None
            return cls.of_rounds(rounds)
        return cls.of_run(run)

    def criterion(self, objective: str) -> str:
        """What people are asked."""
        return questions.criterion(self.criteria, objective)
