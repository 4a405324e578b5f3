"""The priorities that a run stands under: those that somebody kept for it, else its recipe's."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from pareto.config import Level
from pareto.errors import ParetoError
from pareto.records import SCHEMA
from pareto.store.files import read_json, write_json
from pareto.store.run import Run

FILE = "priorities.json"


def standing(run: Run) -> tuple[Level, ...]:
    """The levels in order; none where nothing is asked.

    Raises:
        ParetoError: the kept ones are damaged.
    """
    path = run.path / FILE
    if not path.is_file():
        return run.recipe.priorities
    try:
        levels = tuple(Level.model_validate(level) for level in read_json(path)["levels"])
    except (KeyError, TypeError, ValidationError):
        raise ParetoError(f"{path}: damaged; take it away to fall back to the recipe's priorities") from None
    unknown = [name for level in levels for name in level.objectives if name not in run.recipe.names]
    if unknown:
        raise ParetoError(f"{path}: '{unknown[0]}' is no objective of this run; take the file away")
    return levels


def keep(run: Run, levels: Sequence[Level]) -> None:
    """Make these the run's, for every command and the explorer."""
    write_json(run.path / FILE, {"schema": SCHEMA, "levels": [level.model_dump(mode="json") for level in levels]})
