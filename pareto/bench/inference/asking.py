"""Two grounds for adaptive numbers of answers: people's questions alone, and prompts of several types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pareto.bench.inference.ground import Ground
from pareto.bench.inference.intervals import Floats
from pareto.bench.inference.kept import answers
from pareto.bench.rewards.lab import SAMPLES, Lab
from pareto.measure import score_rollouts
from pareto.objectives.load import load_reward
from pareto.prompts import load_prompts
from pareto.records import Prompt, Rollout, Split
from pareto.rollouts.pool import decode


@dataclass(frozen=True, eq=False)
class Answered:
    """Answers to prompts that are learnt from, and to others, with what each is worth."""

    taught: tuple[Prompt, ...]
    before: Floats
    """Utility of the answers to those, (prompts, samples)."""
    asked: tuple[Prompt, ...]
    utility: Floats
    """Of the answers to these, (prompts, samples)."""
    tokens: Floats
    """Generated for each, same shape."""
    beginnings: Callable[[int], Floats]
    """Utility of the first so many tokens of each, same shape."""


def people(ground: Ground) -> Answered:
    """Questions of one type, judged by the recipe's first objective."""
    lab = ground.lab
    pools = lab.pool("train"), lab.pool("many")
    return _answered(lab, (lab.asked("train"), lab.asked("many")), pools, (SAMPLES["train"], SAMPLES["many"]), lab.gold)


def several(ground: Ground) -> Answered:
    """Prompts of several types, judged by all objectives of their recipe, equally weighted.

    The utility is that of ``best_of``: an objective that does not apply to a prompt is left out.
    """
    recipe, sizes = ground.mixed, ground.sizes
    lab = Lab(recipe, ground.folder, ground.say)
    prompts = load_prompts(recipe.prompts, recipe.seed)

    def of(split: Split) -> list[Prompt]:
        return [p for p in prompts if p.split == split]

    sets = of("train"), of("test")
    samples = sizes.mixed_taught_each, sizes.mixed_each
    pools = answers(lab, "mixed-train", sets[0], samples[0]), answers(lab, "mixed-test", sets[1], samples[1])
    rewards = [load_reward(o) for o in recipe.objectives]

    def values(rollouts: Sequence[Rollout]) -> Floats:
        scores = score_rollouts(recipe, rewards, prompts, rollouts).values
        return np.asarray(scores * np.array([float(r.sign) for r in rewards]))

    known = values(pools[0])
    centre, scale = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    scale = np.where(scale > 0, scale, 1.0)

    def utility(rollouts: Sequence[Rollout]) -> Floats:
        return np.asarray(np.nansum((values(rollouts) - centre) / scale, axis=1) / len(rewards))

    return _answered(lab, sets, pools, samples, utility)


def _answered(
    lab: Lab,
    sets: tuple[Sequence[Prompt], Sequence[Prompt]],
    pools: tuple[Sequence[Rollout], Sequence[Rollout]],
    samples: tuple[int, int],
    utility: Callable[[Sequence[Rollout]], Floats],
) -> Answered:
    shape = len(sets[1]), samples[1]

    def beginnings(after: int) -> Floats:
        cut = [replace(r, token_ids=r.token_ids[:after], text=decode(lab.base, r.token_ids[:after])) for r in pools[1]]
        return utility(cut).reshape(shape)

    return Answered(
        tuple(sets[0]),
        utility(pools[0]).reshape(-1, samples[0]),
        tuple(sets[1]),
        utility(pools[1]).reshape(shape),
        np.array([float(len(r.token_ids)) for r in pools[1]]).reshape(shape),
        beginnings,
    )
