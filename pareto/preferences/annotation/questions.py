"""What can be asked: pairs of different completions of the same prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.records import Prompt, Question

if TYPE_CHECKING:
    from pareto.store.run import Run

PER_RUN = 60
"""Questions made of a run's measured completions, where nobody says how many."""


def criterion(criteria: Mapping[str, str], objective: str) -> str:
    """What people and judges are asked: the recipe's own words, or "Which answer is more helpful?"."""
    return criteria.get(objective) or f"Which answer is more {objective.replace('_', ' ').replace('-', ' ')}?"


def make(
    objective: str,
    prompt: Prompt,
    completions: tuple[str, str],
    round: int = 0,
    reason: str = "",
    scores: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Question:
    """A question about two different completions, whichever comes first.

    Args:
        objective: by which they are compared.
        prompt: what they answer.
        completions: both texts.
        round: that wants it answered.
        reason: why this one, for people.
        scores: what each member of an ensemble gave the one and the other.
    """
    turned = completions[0] > completions[1]
    first, second = reversed(completions) if turned else completions
    sides = None if scores is None else scores[::-1] if turned else scores
    return Question(
        objective=objective,
        prompt_id=prompt.id,
        prompt=prompt.text,
        first=first,
        second=second,
        answers=prompt.answers,
        source=prompt.source,
        round=round,
        reason=reason,
        scores={} if sides is None else {"first": [*map(float, sides[0])], "second": [*map(float, sides[1])]},
    )


def candidates(
    objective: str, prompts: Sequence[Prompt], completions: Mapping[str, Sequence[str]], round: int = 0
) -> list[Question]:
    """All pairs of different, non-empty completions of the same prompt, whoever wrote them.

    Args:
        objective: by which they are to be compared.
        prompts: those that may be asked about.
        completions: prompt id → texts; equal ones count once.
        round: that wants them answered.

    Returns:
        In the order of the prompts.
    """
    return [
        make(objective, prompt, (one, other), round)
        for prompt in prompts
        for one, other in combinations(dict.fromkeys(t for t in completions.get(prompt.id, ()) if t.strip()), 2)
    ]


def from_run(run: Run, objective: str, count: int = PER_RUN, seed: int = 0) -> list[Question]:
    """Questions about a run's measured completions: two policies' answers to the same prompt.

    Args:
        run: with at least two policies measured on validation.
        objective: by which they are to be compared.
        count: at most so many, from as many prompts as there are.
        seed: of what is left to chance.

    Raises:
        ParetoError: the run has no such objective, or nothing that differs.
    """
    from pareto.store.points import load_points
    from pareto.store.tables import read_prompts, read_rollouts

    if objective not in run.recipe.names:
        raise ParetoError(f"run '{run.name}' has no objective '{objective}'; {suggest(objective, run.recipe.names)}")
    tables = {p.scores: p.id for p in load_points(run) if p.split == "validation"}
    answers: dict[str, dict[str, str]] = {}  # prompt → text → the policy that said it first
    for table, policy in tables.items():
        for rollout in read_rollouts(run.rollouts / f"{table}.parquet"):
            if rollout.text.strip():
                answers.setdefault(rollout.prompt_id, {}).setdefault(rollout.text, policy)
    rng = np.random.default_rng(seed)
    found: list[tuple[float, Question]] = []
    for prompt in read_prompts(run.path / "prompts.parquet"):
        said = answers.get(prompt.id, {})
        of_two = [pair for pair in combinations(said, 2) if said[pair[0]] != said[pair[1]]]
        # The k-th pair of every prompt comes before the next pair of any.
        for k, row in enumerate(rng.permutation(len(of_two))[:count]):
            one, other = of_two[row]
            reason = f"{said[one]} and {said[other]} answered differently"
            found.append((k + rng.random(), make(objective, prompt, (one, other), reason=reason)))
    if not found:
        raise ParetoError(f"run '{run.name}': no two measured policies that answered differently; go on with the sweep")
    return [question for _, question in sorted(found, key=lambda f: f[0])[:count]]
