"""What the run's objectives say of the answers to a prompt, under weights and priorities, and which is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.choice.standing import standing
from pareto.config import Aggregation, Level, Objective
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.frontier import read_frame
from pareto.inference.best_of.levels import Floats, sift
from pareto.objectives.ensemble.reward import EnsembleReward
from pareto.objectives.load import Reward, load_reward
from pareto.objectives.score import results
from pareto.records import Prompt
from pareto.store.files import fingerprint
from pareto.store.run import Run


@dataclass(frozen=True, eq=False)
class Scored:
    """What m objectives say of n answers to one prompt."""

    values: Floats
    """(n, m) in the objectives' own units; NaN where one does not apply or its reward failed."""
    failures: tuple[dict[str, str], ...]
    """For each answer: objective → why its reward failed."""

    @classmethod
    def none(cls, m: int) -> Scored:
        """No answers yet."""
        return cls(np.empty((0, m)), ())

    def take(self, rows: Sequence[int]) -> Scored:
        """Some of the answers."""
        return Scored(self.values[list(rows)], tuple(self.failures[i] for i in rows))

    def then(self, more: Scored) -> Scored:
        """These answers and more of them."""
        return Scored(np.concatenate([self.values, more.values]), (*self.failures, *more.failures))


@dataclass(frozen=True, eq=False)
class Ranked:
    """Answers held against each other."""

    utility: Floats
    """(n,), see ``Judge.rank``."""
    broken: tuple[str | None, ...]
    """For each the first level of the priorities that it breaks, in words."""
    eligible: NDArray[np.bool_]
    """(n,): no other answer has a better claim by priorities and failures."""

    @property
    def keeping(self) -> NDArray[np.bool_]:
        """(n,): those with the best claim, where they break nothing."""
        return np.asarray(self.eligible & np.array([b is None for b in self.broken]))

    @property
    def chosen(self) -> int:
        """Index of the best; of equals the first."""
        return int(np.where(self.eligible, self.utility, -np.inf).argmax())


@dataclass(frozen=True)
class Judge:
    """A run's objectives under weights and priorities."""

    rewards: tuple[Reward, ...]
    """The m objectives' rewards."""
    frame: Frame
    """Their directions and normalisation."""
    weights: tuple[float, ...]
    """(m,), a point of the simplex."""
    levels: tuple[Level, ...] = ()
    """The priorities in order."""
    source: str = ""
    """Hash of what the rewards are; empty: unknown, so that nothing of it may be kept."""

    @classmethod
    def of(
        cls,
        run: Run,
        weights: Sequence[float] | None = None,
        levels: Sequence[Level] | None = None,
        aggregate: Aggregation | None = None,
    ) -> Judge:
        """The judge of a run.

        Args:
            run: its base policy must be measured: that is what normalises.
            weights: in the recipe's order; ``None``: all the same.
            levels: the priorities; ``None``: those that the run stands under.
            aggregate: how ensembles become one reward; ``None``: as the recipe and their folders have it.

        Raises:
            ParetoError: a reward cannot be loaded; ``aggregate`` where no objective is scored by an ensemble; a
                threshold on the wrong side.
        """
        from pareto.inference.best_of.identity import source_of

        objectives = [_aggregated(o, aggregate) for o in run.recipe.objectives]
        if aggregate and not any(_is_ensemble(o) for o in objectives):
            raise ParetoError(f"--aggregate {aggregate}: no objective of run '{run.name}' is scored by an ensemble")
        frame = read_frame(run)
        rewards = tuple(load_reward(o, run.path) for o in objectives)
        m = len(rewards)
        levels = tuple(standing(run) if levels is None else levels)
        for level in levels:
            level.check_directions({n for n, sign in zip(frame.objectives, frame.signs, strict=True) if sign < 0})
        source = source_of(objectives, rewards, run.path)
        return cls(rewards, frame, tuple(weights) if weights else (1 / m,) * m, levels, source)

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides which answer is the best; empty where that is not known."""
        levels = [level.model_dump(mode="json") for level in self.levels]
        told: list[Any] = [self.source, self.frame.to_json(), list(self.weights), levels]
        return fingerprint(told) if self.source else ""

    def score(
        self, prompt: Prompt, texts: Sequence[str], token_ids: Sequence[Sequence[int]], max_new_tokens: int
    ) -> Scored:
        """Apply the rewards to n answers; one that fails on an answer costs that answer alone.

        Args:
            prompt: what was asked.
            texts: the n answers.
            token_ids: their tokens.
            max_new_tokens: cap on an answer's length.

        Raises:
            ParetoError: something that a reward needs is missing.
        """
        n = len(texts)
        columns: dict[str, list[Any]] = {
            "prompts": [prompt.text] * n,
            "completions": list(texts),
            "completion_ids": [list(ids) for ids in token_ids],
            "answers": [prompt.answers] * n,
            "source": [prompt.source] * n,
        }
        values = np.full((n, len(self.rewards)), np.nan)
        failures: list[dict[str, str]] = [{} for _ in range(n)]
        for k, reward in enumerate(self.rewards):
            for i, found in enumerate(results(reward, columns, max_new_tokens, n)):
                if isinstance(found, str):
                    failures[i][reward.name] = found
                elif found is not None:
                    values[i, k] = found
            if isinstance(reward.function, EnsembleReward):
                reward.function.flagged.clear()  # what is answered here is not labelled
        return Scored(values, tuple(failures))

    def rank(self, scored: Scored) -> Ranked:
        """Hold answers against each other.

        First the priorities decide, then whether a reward that counts failed, then the utility
        Σ weight · sign · (value − mean) / standard deviation, mean and deviation being the base policy's. An objective
        that applies to no answer is left out; where it is not measured on one answer, that answer gets the least that
        any got, since an answer must not gain by escaping a measure.

        Args:
            scored: n ≥ 1 answers.
        """
        names = self.frame.objectives
        failed = np.array([[name in f for name in names] for f in scored.failures])
        left, broken = sift(scored.values, failed, self.levels, self.frame)
        eligible = np.isin(np.arange(len(failed)), left)
        asked = {name for level in self.levels for name in level.objectives}
        counts = np.array([w > 0 or name in asked for name, w in zip(names, self.weights, strict=True)])
        sound = ~failed[:, counts].any(axis=1)
        if (eligible & sound).any():
            eligible &= sound
        normal = self.frame.normalise(scored.values)
        worst = np.where(np.isnan(normal), np.inf, normal).min(axis=0)
        worst[np.isinf(worst)] = 0.0
        utility = np.where(np.isnan(normal), worst, normal) @ np.array(self.weights)
        return Ranked(utility, tuple(broken), eligible)


def _aggregated(objective: Objective, aggregate: Aggregation | None) -> Objective:
    if aggregate is None or not _is_ensemble(objective):
        return objective
    return objective.model_copy(update={"options": {**objective.options, "aggregate": aggregate}})


def _is_ensemble(objective: Objective) -> bool:
    return objective.reward.startswith("ensemble:")
