"""What a round chooses from: completions of training prompts by the base and by the last round's policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pareto.campaign import Campaign, Policy
from pareto.config import Recipe
from pareto.frontier import read_frame, select
from pareto.models import Base
from pareto.records import Point, Prompt, Rollout
from pareto.rollouts.pool import make_pool
from pareto.rounds.store import Rounds
from pareto.store.files import write_bytes
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import table_ok, write_rollouts

POLICY = "policy:"
"""Before the id of the point, in the origin of what a policy wrote."""
SAMPLES = 2
"""Of each policy, for each prompt."""


def of_base(
    rounds: Rounds,
    base: Base,
    train: Sequence[Prompt],
    number: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Rollout]:
    """The pool's candidates of a round's prompts: what the sweep's comparisons are made from is what must be scored
    right.

    Args:
        rounds: keeps the pool of all training prompts, made once for all rounds.
        base: the live base model.
        train: the training prompts.
        number: of the round.
        progress: called with (prompts done, prompts in all).
    """
    pool = make_pool(base, rounds.recipe, train, rounds.path / "pool", progress)
    wanted = {p.id for p in of_round(rounds.recipe, train, number)}
    return [r for r in pool if r.prompt_id in wanted]


def of_policies(
    campaign: Campaign, rounds: Rounds, number: int, train: Sequence[Prompt], advance: Callable[[int], None]
) -> list[Rollout]:
    """Completions of a round's prompts by policies of the last round's front, ``SAMPLES`` of each.

    Args:
        campaign: of the last round's run.
        rounds: says how many policies.
        number: of the round that is to use them.
        train: the training prompts.
        advance: called with how many pieces of work are done.

    Returns:
        Their origin is ``policy:<point id>``; ``logp`` is the policy's own.
    """
    prompts = [p.id for p in of_round(rounds.recipe, train, number)]
    points = spread_over(campaign.run, rounds.recipe.rounds.policies)
    policies = [Policy(p.id, p.kind, p.weights, p.coefficients) for p in points]
    found = campaign.answers(policies, prompts, SAMPLES, f"round-{number}", advance)
    return [replace(rollout, origin=f"{POLICY}{rollout.origin}") for rollout in found]


def keep(rounds: Rounds, number: int, found: Sequence[Rollout]) -> None:
    """Write what a round chooses from; a prompt's completions are numbered anew."""
    count: Counter[str] = Counter()
    numbered = []
    for rollout in found:
        numbered.append(replace(rollout, sample=count[rollout.prompt_id]))
        count[rollout.prompt_id] += 1
    path = rounds.rollouts(number)
    path.parent.mkdir(exist_ok=True)
    write_rollouts(path, numbered)


def of_round(recipe: Recipe, train: Sequence[Prompt], number: int) -> list[Prompt]:
    """The training prompts of a round: ``rounds.prompts`` of them, others each time, in the order of ``train``."""
    rng = np.random.default_rng([recipe.seed, number])
    count = min(recipe.rounds.prompts, len(train))
    return [train[i] for i in sorted(rng.choice(len(train), count, replace=False))]


def spread_over(run: Run, count: int) -> list[Point]:
    """At most so many policies of a run's front, chosen on validation, each as far as can be from the others."""
    frame, points = read_frame(run), load_points(run)
    chosen = set(select(run, points, frame))
    front = [p for p in points if p.split == "validation" and p.id in chosen]
    values = frame.normalise([[p.mean[n] for n in frame.objectives] for p in front])
    return [front[i] for i in farthest(values, count)]


def farthest(values: NDArray[np.float64], count: int) -> list[int]:
    """Indices of at most ``count`` rows: the one farthest from the mean, then each the farthest from all taken."""
    if len(values) <= count:
        return list(range(len(values)))
    taken = [int(np.linalg.norm(values - values.mean(axis=0), axis=1).argmax())]
    while len(taken) < count:
        gaps = np.linalg.norm(values[:, None] - values[taken][None], axis=2).min(axis=1)
        taken.append(int(gaps.argmax()))
    return taken


def lend_pool(rounds: Rounds, run: Run) -> None:
    """Give a round's run the pool of the series, so that its sweep does not sample the same again."""
    for source in sorted((rounds.path / "pool").glob("*/*.parquet")):
        target = run.rollouts / source.parent.name / source.name
        if not table_ok(target):
            target.parent.mkdir(exist_ok=True)
            write_bytes(target, source.read_bytes())
