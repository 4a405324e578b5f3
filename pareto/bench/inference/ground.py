"""What the parts share: people's questions to the base model, who answers them and who judges the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pareto.bench.inference.sizes import Sizes
from pareto.bench.rewards.lab import Lab
from pareto.config import Recipe
from pareto.front.frame import Frame
from pareto.inference.best_of.identity import source_of
from pareto.inference.best_of.scoring import Judge
from pareto.inference.policy import Policy
from pareto.objectives.load import load_reward
from pareto.soups.bank import Bank
from pareto.training.adapters import shared_a

Found = dict[str, Any]


@dataclass(frozen=True)
class Ground:
    """All that a part may need."""

    lab: Lab
    """Of the recipe with people's questions; its pools are those of ``bench rewards``."""
    mixed: Recipe
    """Prompts of several types, with objectives that matter to some of them."""
    arithmetic: Recipe
    folder: Path
    """What is sampled from the last two and trained is kept here."""
    run: str
    """Whose learned weights are measured; its name or its folder."""
    root: Path
    """Folder of runs."""
    utility: str
    """What is wanted there of each type of prompt."""
    sizes: Sizes
    seeds: Sequence[int]
    """Of labels and members."""

    @property
    def say(self) -> Callable[[str], None]:
        """Told of progress, a line at a time."""
        return self.lab.say

    @cached_property
    def policy(self) -> Policy:
        """The base model, without adapters."""
        base, recipe = self.lab.base, self.lab.recipe
        lora = recipe.training.lora
        return Policy(recipe, base, Bank(base, lora, shared_a(base, lora, recipe.seed)), {})

    @cached_property
    def judge(self) -> Judge:
        """By the recipe's first objective, in its own units."""
        objective = self.lab.recipe.objectives[0]
        reward = load_reward(objective)
        frame = Frame((reward.name,), (float(reward.sign),), (0.0,), (1.0,), (-1.0,))
        return Judge((reward,), frame, (1.0,), source=source_of([objective], [reward], self.folder))
