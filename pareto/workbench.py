"""A run's live model with its bank, its meter and its ground: what training and measuring stand on."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from pareto.config import Model, Recipe
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.frontier import read_frame
from pareto.measure import Meter, score_rollouts
from pareto.models import context_check, fine_tuned, load
from pareto.objectives.ensemble.reward import EnsembleReward
from pareto.objectives.load import load_reward
from pareto.objectives.score import Failure
from pareto.preferences.annotation.review import Flagged
from pareto.prompts import load_prompts
from pareto.records import Prompt, Rollout, Split
from pareto.rollouts.pool import make_pool, pool_key, scores_key
from pareto.soups.bank import Bank
from pareto.store.files import folder_ok
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_scores, table_ok, write_prompts, write_scores
from pareto.training.adapters import shared_a
from pareto.training.sft import fine_tune
from pareto.training.train import Ground
from pareto.watch import Clock, Watcher

if TYPE_CHECKING:
    from pareto.models import Base


class Workbench:
    """The base model and the prompts of a run, loaded; the rest is made, or read back, when it is asked for."""

    frame: Frame
    """The normalisation, once the run has one."""
    shard: int | None = None
    """Prompts in a shard of the pool, where another machine has decided."""

    def __init__(self, run: Run, recipe: Recipe, watch: Watcher) -> None:
        self.run, self.recipe, self.watch = run, recipe, watch
        self.clock = Clock(watch, lambda event, **fields: None)
        self._failures: list[Failure] = []
        self._doubted: list[Flagged] = []
        teach(recipe, self.clock)
        with self.clock.phase("load model and prompts"):
            self.rewards = [load_reward(o, run.path) for o in recipe.objectives]
            self.base, self.all_prompts = load_base(recipe)
        splits: tuple[Split, ...] = ("train", "validation", "test")
        self.prompts: dict[Split, list[Prompt]] = {s: [p for p in self.all_prompts if p.split == s] for s in splits}
        lora = recipe.training.lora
        self.bank = Bank(self.base, lora, shared_a(self.base, lora, recipe.seed))
        self.meter = Meter(run, recipe, self.base, self.bank, self.rewards, self.prompts, self.failure, self.review)

    @classmethod
    def open(cls, run: Run, watch: Watcher) -> Self:
        """A run's bench with every adapter that was trained in it in the bank, under its point's id.

        Raises:
            ParetoError: the run is not that far yet, or an adapter is missing or damaged.
        """
        frame = read_frame(run)
        bench = cls(run, run.recipe, watch)
        bench.frame = frame
        for point in load_points(run):
            for name, key in point.adapters.items():
                if point.id == name:
                    bench.join(name, key)
        return bench

    def join(self, name: str, key: str) -> None:
        """Put an adapter of the run's folder into the bank, if it is not there yet.

        Raises:
            ParetoError: it is missing, damaged or of another base.
        """
        if self.meter.keys.get(name) == key:
            return
        if not folder_ok(self.run.adapters / key):
            raise ParetoError(f"{self.run.adapters / key}: missing or damaged; the same sweep again makes it again")
        self.bank.add(name, self.run.adapters / key)
        self.meter.keys[name] = key

    @cached_property
    def pool(self) -> list[Rollout]:
        """The training prompts' candidates."""
        write_prompts(self.run.path / "prompts.parquet", self.all_prompts)
        with self.clock.phase("roll out", len(self.prompts["train"])) as advance:
            return make_pool(
                self.base,
                self.recipe,
                self.prompts["train"],
                self.run.rollouts,
                lambda done, _: advance(done),
                self.shard,
            )

    @property
    def pool_key(self) -> str:
        """Hash of the pool."""
        return pool_key(self.base, self.recipe, self.prompts["train"])

    @cached_property
    def ground(self) -> Ground:
        """What every weight setting is trained on; needs ``frame``."""
        key, raw = self.pool_scores
        scores = self.frame.normalise(raw)
        return Ground(self.base, self.recipe, self.rewards, self.prompts["train"], self.pool, scores, key)

    @cached_property
    def pool_scores(self) -> tuple[str, NDArray[np.float64]]:
        """Hash of pool and scores, and the scores (n, m) in the objectives' own units."""
        recipe, pool = self.recipe, self.pool
        key = scores_key(self.base, recipe, self.prompts["train"])
        path = self.run.scores / f"{key}.parquet"
        if not table_ok(path):
            with self.clock.phase("score the pool"):
                scores = score_rollouts(recipe, self.rewards, self.prompts["train"], pool)
                for failure in scores.failures:
                    self.failure(failure)
                self.review()
                columns = dict(zip(recipe.names, scores.values.T, strict=True))
                write_scores(path, [r.prompt_id for r in pool], [r.sample for r in pool], columns)
        columns = read_scores(path).columns
        return key, np.stack([columns[n] for n in recipe.names], axis=1)

    def rows(self, split: Split) -> int:
        """Completions that measuring one policy on a split takes."""
        return len(self.prompts[split]) * self.recipe.evaluation.samples_per_prompt

    def failure(self, failure: Failure) -> None:
        """A row that a reward failed on is masked, and told."""
        self._failures.append(failure)

    def review(self) -> None:
        """Keep what the objectives' ensembles doubted since the last call."""
        by_text = {p.text: p for p in self.all_prompts}
        for reward in self.rewards:
            if not isinstance(reward.function, EnsembleReward):
                continue
            threshold = reward.function.ensemble.calibration.spread_threshold
            for seen in reward.function.flagged:
                prompt = by_text[seen.prompt]
                self._doubted.append(
                    Flagged(
                        objective=reward.name,
                        prompt_id=prompt.id,
                        prompt=prompt.text,
                        completion=seen.completion,
                        scores=seen.members,
                        spread=seen.spread,
                        threshold=threshold,
                        answers=prompt.answers,
                        source=prompt.source,
                    )
                )
            reward.function.flagged.clear()

    def said(self) -> dict[str, Any]:
        """Rows that rewards failed on and completions that ensembles doubted since the last call, as plain data."""
        told = {"failed": [asdict(f) for f in self._failures], "doubted": [asdict(f) for f in self._doubted]}
        self._failures.clear()
        self._doubted.clear()
        return {name: found for name, found in told.items() if found}


def teach(recipe: Recipe, clock: Clock) -> None:
    """Fine-tune the model first where the recipe says so and nobody has done it yet.

    Raises:
        ParetoError: see ``fine_tune``.
    """
    if untaught(recipe.model):
        assert recipe.model.sft is not None
        with clock.phase("fine-tune", recipe.model.sft.steps) as advance:
            fine_tune(recipe.model, lambda done, _: advance(done))


def untaught(model: Model) -> bool:
    """Whether a model is to be fine-tuned first and is not yet."""
    return model.sft is not None and not folder_ok(fine_tuned(model))


def load_base(recipe: Recipe) -> tuple[Base, list[Prompt]]:
    """A recipe's base model and its prompts.

    Raises:
        ParetoError: one of them cannot be loaded, or a prompt is too long for the model or the recipe.
    """
    base = load(recipe.model)
    prompts = load_prompts(recipe.prompts, recipe.seed)
    length, most = recipe.sampling.max_new_tokens, recipe.prompts.max_tokens
    for p in prompts:
        context_check(base, base.prompt_ids(p.text), length, most, f"prompt {p.id} of {p.source}")
    return base, prompts
