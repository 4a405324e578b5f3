"""Answers of the base model to prompts, kept in shards."""

from __future__ import annotations

from collections.abc import Sequence

from pareto.bench.rewards.lab import Lab, kept
from pareto.records import Prompt, Rollout
from pareto.store.files import fingerprint

SHARD = 10
"""Prompts of a file."""


def answers(lab: Lab, name: str, prompts: Sequence[Prompt], samples: int) -> list[Rollout]:
    """Several completions of each prompt, those of a prompt next to each other; drawn now or found again.

    Args:
        lab: its recipe's model answers; its folder keeps what it says.
        name: of the set.
        prompts: what is asked.
        samples: completions of each.
    """
    recipe = lab.recipe
    told = [recipe.model.model_dump(mode="json"), recipe.sampling.model_dump(mode="json"), recipe.seed, samples]
    key = fingerprint([told, [p.text for p in prompts]])
    return kept(lab, f"{name}-{key}", prompts, samples, SHARD)
