"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pareto.config import Recipe


@dataclass(frozen=True)
class Sizes:
    """Counts of a measurement."""

    prompts: int = 6
    """On which calls are timed."""
    repeats: int = 3
    """Of each of them."""
    hits: int = 1000
    """Of the cache, timed."""
    near: int = 10_000
    """Near-duplicates asked of the cache."""
    steps: int = 2000
    """Written and checked."""
    taught: int = 240
    """Problems whose solutions are learnt from."""
    taught_each: int = 8
    asked: int = 160
    """Problems on which solutions are selected."""
    asked_each: int = 16
    lucky: int = 300
    """Right answers with a wrong step."""
    mixed_taught_each: int = 8
    """Answers to each prompt of several types that difficulty is learnt from."""
    mixed_each: int = 24
    """Answers to each of those that adaptive numbers are measured on; 16 at least, which is the cap."""
    shuffles: int = 5
    """Of learned weights' control."""
    quick: bool = False
    """On the tiny model, whose solutions are written by rule, since it solves nothing."""


FULL = Sizes()
QUICK = Sizes(
    prompts=1,
    repeats=1,
    hits=20,
    near=200,
    steps=200,
    taught=24,
    taught_each=4,
    asked=6,
    asked_each=4,
    lucky=10,
    mixed_taught_each=3,
    mixed_each=16,
    shuffles=0,
    quick=True,
)


def quick(recipe: Recipe) -> Recipe:
    """The same on the tiny model, with a few prompts and short answers: only shows that everything runs."""
    tree: dict[str, Any] = recipe.model_dump(mode="json")
    tree["model"] |= {"base": "tiny-random", "dtype": "float32", "sft": None}
    tree["prompts"]["max_tokens"] = 400
    for source in tree["prompts"]["sources"]:
        source["take"] = {"train": 24, "validation": 2, "test": 6}
    tree["sampling"]["max_new_tokens"] = 12
    tree["training"]["lora"] = {"rank": 4, "alpha": 8, "layers": 1}
    tree["rounds"]["ensemble"] |= {"members": 2, "steps": 20, "weight_decay": 1.0}
    return Recipe.model_validate(tree)
