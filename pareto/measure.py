"""From a policy to a table of scores: sample on a split's prompts, and score.

Every policy sees the same prompts with the same random numbers, so differences between points are
differences between policies. What was measured is kept per prompt: intervals need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pareto.config import Objective, Recipe
from pareto.objectives.load import Reward, load_reward
from pareto.objectives.score import Failure, Scores, score
from pareto.records import Prompt, Rollout, Split
from pareto.rollouts.pool import decode, row_seed
from pareto.rollouts.sampling import Drawn, Request, draw, log_probabilities
from pareto.soups.draw import Way
from pareto.store.files import fingerprint
from pareto.store.tables import read_rollouts, table_ok, write_rollouts, write_scores

if TYPE_CHECKING:
    from pareto.models import Base
    from pareto.soups.bank import Bank
    from pareto.store.run import Run

COMPUTED = ("fluency", "kl")
"""Gold measures that come from log-probabilities rather than from a reward."""


@dataclass
class Meter:
    """Measures policies of one run."""

    run: Run
    recipe: Recipe
    base: Base
    bank: Bank
    rewards: Sequence[Reward]
    prompts: Mapping[Split, Sequence[Prompt]]
    report: Callable[[Failure], None] = lambda failure: None
    """Told of every row that a reward failed on."""
    scored: Callable[[], None] = lambda: None
    """Called when a policy's completions have been scored."""
    keys: dict[str, str] = field(default_factory=dict)
    """Adapter in the bank → hash of what made it."""

    def __post_init__(self) -> None:
        names = [g for g in self.recipe.gold if g not in COMPUTED]
        self.gold = [load_reward(Objective(name=n, reward=n)) for n in names]

    def table(
        self, coefficients: Mapping[str, float], split: Split, progress: Callable[[int], None] = lambda done: None
    ) -> str:
        """Name of the table with the per-prompt scores of a soup, made unless it is there."""
        (key,) = self.tables([coefficients], split, progress)
        return key

    def tables(
        self,
        soups: Sequence[Mapping[str, float]],
        split: Split,
        progress: Callable[[int], None] = lambda done: None,
        way: Way = "auto",
    ) -> list[str]:
        """Names of the tables of several soups; those that are not there are sampled together.

        Args:
            soups: coefficients of adapters in the bank; empty: the base.
            split: whose prompts are answered.
            progress: called with the number of completions finished since the last call.
            way: how the bank runs them, see ``Bank.draw``.
        """
        prompts = self.prompts[split]
        keys = [self._key(self._named(c), split) for c in soups]
        by_key = dict(zip(keys, soups, strict=True))
        missing = {key: c for key, c in by_key.items() if not self._sampled(key)}
        asked = requests(self.base, self.recipe, prompts)
        drawn = self.bank.draw(
            [r for _ in missing for _, _, r in asked],
            [c for c in missing.values() for _ in asked],
            self.recipe.sampling,
            way,
            progress,
        )
        self.bank.merge({})
        for i, key in enumerate(missing):
            own = drawn[i * len(asked) : (i + 1) * len(asked)]
            write_rollouts(self._rollouts(key), rollouts(self.base, asked, own))
        for key, coefficients in by_key.items():
            if key in missing or not self._scored(key):
                self._score(key, prompts, is_base=not any(coefficients.values()))
        return keys

    def table_of(
        self, policy: Mapping[str, Any], split: Split, draw_all: Callable[[Sequence[Prompt]], list[Rollout]]
    ) -> str:
        """Name of the table with the per-prompt scores of a policy that is no soup, made unless it is there.

        Args:
            policy: plain data that names it.
            split: whose prompts are answered.
            draw_all: samples the policy as ``sample`` does, and leaves the live model the base.
        """
        key = self._key(policy, split)
        missing = not self._sampled(key)
        if missing:
            write_rollouts(self._rollouts(key), draw_all(self.prompts[split]))
        if missing or not self._scored(key):
            self._score(key, self.prompts[split], is_base=False)
        return key

    def _named(self, coefficients: Mapping[str, float]) -> dict[str, float]:
        return {self.keys[k]: round(v, 12) for k, v in sorted(coefficients.items())}

    def _rollouts(self, key: str) -> Path:
        return self.run.rollouts / f"{key}.parquet"

    def _sampled(self, key: str) -> bool:
        return table_ok(self._rollouts(key))

    def _scored(self, key: str) -> bool:
        return table_ok(self.run.scores / f"{key}.parquet")

    def _score(self, key: str, prompts: Sequence[Prompt], is_base: bool) -> None:
        """Score the rollouts of a policy, which are kept, and keep the scores beside them."""
        drawn = read_rollouts(self._rollouts(key))
        scores = score_rollouts(self.recipe, [*self.rewards, *self.gold], prompts, drawn)
        for failure in scores.failures:
            self.report(failure)
        self.scored()
        names = [*self.recipe.names, *(f"gold:{g.name}" for g in self.gold)]
        columns = dict(zip(names, scores.values.T, strict=True))
        columns |= self._from_log_probabilities(prompts, drawn, is_base)
        write_scores(
            self.run.scores / f"{key}.parquet", [r.prompt_id for r in drawn], [r.sample for r in drawn], columns
        )

    def _key(self, policy: Mapping[str, Any], split: Split) -> str:
        return fingerprint(
            {
                "base": self.base.fingerprint,
                "system": self.base.system,
                "policy": dict(policy),
                "prompts": [p.id for p in self.prompts[split]],
                "sampling": self.recipe.sampling.model_dump(mode="json"),
                "samples": self.recipe.evaluation.samples_per_prompt,
                "objectives": [o.model_dump(mode="json") for o in self.recipe.objectives],
                "gold": list(self.recipe.gold),
                "kl_prompts": self.recipe.evaluation.kl_prompts,
                "seed": self.recipe.seed,
            }
        )

    def _from_log_probabilities(
        self, prompts: Sequence[Prompt], rollouts: Sequence[Rollout], is_base: bool
    ) -> dict[str, NDArray[np.float64]]:
        """Fluency and KL, nats per token, of the first sample of ``evaluation.kl_prompts`` prompts.

        Fluency is log p_base / tokens. KL is the one-sample estimate (log p_policy − log p_base) / tokens on the
        policy's own completion, which truncated sampling biases a little downwards.
        """
        first = [i for i, r in enumerate(rollouts) if r.sample == 0]
        # Spread over the split, whose prompts are in the order of their hashes.
        first = first[:: max(1, -(-len(first) // self.recipe.evaluation.kl_prompts))]
        own = np.array([rollouts[i].logp for i in first])
        if is_base:
            base = own
        else:
            ids = {p.id: self.base.prompt_ids(p.text) for p in prompts}
            asked = [(ids[rollouts[i].prompt_id], rollouts[i].token_ids) for i in first]
            base = np.array(log_probabilities(self.base, asked))
        tokens = np.array([len(rollouts[i].token_ids) for i in first])
        fluency, kl = np.full(len(rollouts), np.nan), np.full(len(rollouts), np.nan)
        fluency[first], kl[first] = base / tokens, (own - base) / tokens
        return {"gold:fluency": fluency, "gold:kl": kl}


Asked = tuple[str, int, Request]
"""Prompt id, sample, request."""


def requests(base: Base, recipe: Recipe, prompts: Sequence[Prompt], stream: str = "measure") -> list[Asked]:
    """What measuring a policy asks of it: ``evaluation.samples_per_prompt`` completions of every prompt.

    Args:
        base: its chat template is applied.
        recipe: its ``evaluation`` and ``seed``.
        prompts: the prompts.
        stream: names the random numbers; equal names, equal numbers.

    Returns:
        Those of a prompt next to each other, in the order of the prompts.
    """
    return [
        (p.id, k, Request(tuple(base.prompt_ids(p.text)), row_seed(recipe.seed, stream, p.id, k)))
        for p in prompts
        for k in range(recipe.evaluation.samples_per_prompt)
    ]


def rollouts(base: Base, asked: Sequence[Asked], drawn: Sequence[Drawn]) -> list[Rollout]:
    """What was drawn for requests, with its text."""
    return [
        Rollout(prompt_id, k, "sampled", r.seed, decode(base, d.token_ids), d.token_ids, d.logp)
        for (prompt_id, k, r), d in zip(asked, drawn, strict=True)
    ]


def sample(base: Base, recipe: Recipe, prompts: Sequence[Prompt], stream: str = "measure") -> list[Rollout]:
    """Completions of every prompt from the policy that ``base`` carries; see ``requests``."""
    asked = requests(base, recipe, prompts, stream)
    return rollouts(base, asked, draw(base, [r for _, _, r in asked], recipe.sampling))


def score_rollouts(
    recipe: Recipe, rewards: Sequence[Reward], prompts: Sequence[Prompt], rollouts: Sequence[Rollout]
) -> Scores:
    """Apply rewards to rollouts of any of the prompts."""
    by_id = {p.id: p for p in prompts}
    of = [by_id[r.prompt_id] for r in rollouts]
    return score(rewards, of, rollouts, max_new_tokens=recipe.sampling.max_new_tokens)
