"""The best of several answers of the chosen policy, by the run's objectives under weights and priorities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pareto.config import Level
from pareto.frontier import read_frame
from pareto.inference.adaptive.kl import best_of_kl
from pareto.inference.best_of.candidates import Best, Candidate
from pareto.inference.best_of.scoring import Judge
from pareto.objectives.load import Reward
from pareto.store.run import Run

if TYPE_CHECKING:
    from app.live.voices import Job


@dataclass(frozen=True)
class Choice:
    """How many answers are drawn, and what makes one the best."""

    n: int
    """At least 1; with 1 there is nothing to choose."""
    weights: tuple[float, ...]
    """(m,), a point of the simplex."""
    levels: tuple[Level, ...] = ()
    """The priorities in force."""


def choose(run: Run, rewards: Sequence[Reward], choice: Choice, job: Job) -> Best:
    """Judge the answers that a job's first voice has drawn.

    Args:
        run: its base policy's frame makes objectives comparable.
        rewards: of its m objectives.
        choice: weights and priorities.
        job: all of its drafts have ended.

    Raises:
        ParetoError: a threshold on the wrong side; something that a reward needs is missing.
    """
    frame = read_frame(run)
    falling = {name for name, sign in zip(frame.objectives, frame.signs, strict=True) if sign < 0}
    for level in choice.levels:
        level.check_directions(falling)
    judge = Judge(tuple(rewards), frame, choice.weights, choice.levels)
    texts, ids = [s.text for s in job.drafts], [tuple(s.tokens) for s in job.drafts]
    # The recipe's cap, not the job's: an answer scores here what the table of scores says of it.
    scored = judge.score(job.prompt, texts, ids, run.recipe.sampling.max_new_tokens)
    ranked = judge.rank(scored)
    candidates = tuple(
        Candidate(
            seed=seed,
            text=spoken.text,
            token_ids=tuple(spoken.tokens),
            logp=spoken.logp,
            scores={name: v for name, v in zip(frame.objectives, row, strict=True) if not math.isnan(v)},
            utility=float(utility),
            broken=broken,
            failures=tuple(f"{name}: {why}" for name, why in failed.items()),
            early=False,
        )
        for seed, spoken, row, failed, utility, broken in zip(
            job.seeds, job.drafts, scored.values.tolist(), scored.failures, ranked.utility, ranked.broken, strict=True
        )
    )
    tokens = sum(len(found.token_ids) for found in candidates)
    return Best(
        candidates, ranked.chosen, tokens, best_of_kl(choice.n), cached=False, reason=f"all {choice.n} were drawn"
    )
