"""Answers of the base model to prompts, kept in shards."""

from __future__ import annotations

from collections.abc import Sequence

from pareto.bench.rewards.lab import Lab
from pareto.records import Prompt, Rollout
from pareto.store.files import fingerprint
from pareto.store.tables import read_rollouts, table_ok, write_rollouts

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
    lab.folder.mkdir(parents=True, exist_ok=True)
    made: list[Rollout] = []
    for start in range(0, len(prompts), SHARD):
        path = lab.folder / f"{name}-{key}-{start // SHARD:03d}.parquet"
        if not table_ok(path):
            lab.say(f"answer {name}: {start} of {len(prompts)} prompts")
            write_rollouts(path, lab.sample(prompts[start : start + SHARD], samples, "bench"))
        made += read_rollouts(path)
    return made
