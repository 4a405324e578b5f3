"""A round's sweep: an ordinary run whose rewards are the round's ensembles."""

from __future__ import annotations

import shutil
from typing import Any

from pareto.config import Recipe
from pareto.engines.engine import Engine
from pareto.objectives.catalogue import CATALOGUE
from pareto.rounds.rollouts import lend_pool
from pareto.rounds.store import Rounds
from pareto.store.files import discard, folder_ok, staged
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.sweep import sweep
from pareto.watch import Watcher


def round_recipe(rounds: Rounds, number: int) -> Recipe:
    """The recipe of a round's run.

    The objectives' own scorers become gold measures where the catalogue knows them. Priorities are left out: their
    thresholds are in units that the ensembles do not have.
    """
    recipe = rounds.recipe
    settings = recipe.rounds.ensemble
    tree = recipe.model_dump(mode="json", exclude={"rounds", "priorities"})
    tree["name"] = rounds.run_name(number)
    tree["objectives"] = [
        {
            "name": o.name,
            "reward": f"ensemble:../{rounds.path.name}/rewards/{o.name}/round-{number}",
            "options": {"aggregate": settings.aggregate, "k": settings.k},
        }
        for o in recipe.objectives
    ]
    own = [o.reward for o in recipe.objectives if o.reward in CATALOGUE and not o.options]
    tree["gold"] = list(dict.fromkeys([*recipe.gold, *own]))
    return Recipe.model_validate(tree)


def sweep_round(
    rounds: Rounds, number: int, storage: str | None, watch: Watcher, engine: Engine | None = None
) -> dict[str, Any]:
    """Run a round's sweep to its end, or go on with it; see ``sweep``."""
    recipe = round_recipe(rounds, number)
    run = Run.create(rounds.path.parent, recipe, storage)
    lend_pool(rounds, run)
    inherited = hand_down(rounds, number, run) if rounds.recipe.rounds.start == "last" and number > 1 else {}
    return sweep(recipe, rounds.path.parent, storage, watch, engine=engine, inherited=inherited)


def hand_down(rounds: Rounds, number: int, run: Run) -> dict[str, str]:
    """Copy the last round's experts into a run: they share its A, which base, seed and rank decide.

    Returns:
        Objective → the adapter's key.
    """
    last = rounds.run(number - 1)
    keys = {}
    for point in load_points(last):
        if point.kind == "expert":
            key = keys[point.id.removeprefix("expert-")] = point.adapters[point.id]
            if not folder_ok(run.adapters / key):
                discard(run.adapters / key)
                with staged(run.adapters / key) as temporary:
                    shutil.copytree(last.adapters / key, temporary, dirs_exist_ok=True)
    return keys
