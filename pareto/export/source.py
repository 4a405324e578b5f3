"""The policy that an export is made from and compared with: in float32 on the CPU, whatever the run computed in."""

from __future__ import annotations

from pareto.inference.policy import Policy, moved
from pareto.models import load
from pareto.records import Point
from pareto.soups.bank import Bank
from pareto.store.run import Run
from pareto.training.adapters import shared_a


def exact_policy(run: Run, point: Point) -> Policy:
    """A run's base in float32 and the adapters of a point. Raises as ``open_policy``."""
    recipe = run.recipe
    base = load(recipe.model.model_copy(update={"dtype": "float32", "device": "cpu"}))
    lora = recipe.training.lora
    bank = Bank(base, lora, shared_a(base, lora, recipe.seed))
    return moved(Policy(recipe, base, bank, {}), run, point)
