"""What the measurements of reward models share: rollouts of the base model, gold scores, and labels with mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pareto.config import Ensemble as Settings
from pareto.config import Recipe
from pareto.measure import rollouts, score_rollouts
from pareto.models import Base, load
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.objectives.load import load_reward
from pareto.prompts import load_prompts
from pareto.records import Pair, Prompt, Rollout
from pareto.rollouts.pool import row_seed
from pareto.rollouts.sampling import Request, draw
from pareto.store.files import fingerprint
from pareto.store.tables import read_rollouts, table_ok, write_rollouts
from pareto.training.rewards.train import train_ensemble

Floats = NDArray[np.float64]
Role = Literal["train", "held_out", "many", "shifted"]
SAMPLES: dict[Role, int] = {"train": 8, "held_out": 8, "many": 64, "shifted": 8}
"""Completions of each prompt."""
SHARD = {"train": 20, "held_out": 20, "many": 5, "shifted": 20}
"""Prompts of a file."""
BIAS = 1.5
"""How much an annotator who likes a feature of the text likes it, in standard deviations of gold per one of it."""


@dataclass(frozen=True)
class Lab:
    """One recipe's ground; everything is kept in a folder."""

    recipe: Recipe
    folder: Path
    say: Callable[[str], None]

    @cached_property
    def base(self) -> Base:
        """The live base model."""
        return load(self.recipe.model)

    @cached_property
    def prompts(self) -> dict[str, Prompt]:
        """By id."""
        return {p.id: p for p in load_prompts(self.recipe.prompts, self.recipe.seed)}

    def asked(self, role: Role) -> list[Prompt]:
        """Prompts of a role: the first source's splits are train, held_out and many; the second's test is shifted."""
        home = self.recipe.prompts.sources[0].packaged
        split = {"train": "train", "held_out": "validation", "many": "test", "shifted": "test"}[role]
        return [p for p in self.prompts.values() if p.split == split and (p.source == home) != (role == "shifted")]

    def pool(self, role: Role) -> list[Rollout]:
        """Its prompts' completions by the base model, those of a prompt next to each other; made in shards."""
        return kept(self, role, self.asked(role), SAMPLES[role], SHARD[role])

    def sample(self, prompts: Sequence[Prompt], samples: int, stream: str) -> list[Rollout]:
        """Completions of the policy that ``base`` carries; equal streams, equal random numbers."""
        asked = [
            (p.id, k, Request(tuple(self.base.prompt_ids(p.text)), row_seed(self.recipe.seed, stream, p.id, k)))
            for p in prompts
            for k in range(samples)
        ]
        return rollouts(self.base, asked, draw(self.base, [r for _, _, r in asked], self.recipe.sampling))

    @cached_property
    def _unit(self) -> tuple[float, float]:
        raw = self._raw(self.pool("train"))
        return float(raw.mean()), float(raw.std())

    def gold(self, rollouts: Sequence[Rollout]) -> Floats:
        """Gold scores (n,) in standard deviations of the base's completions: the recipe's first objective."""
        centre, scale = self._unit
        return (self._raw(rollouts) - centre) / scale

    def _raw(self, rollouts: Sequence[Rollout]) -> Floats:
        reward = load_reward(self.recipe.objectives[0])
        return reward.sign * score_rollouts(self.recipe, [reward], list(self.prompts.values()), rollouts).values[:, 0]

    def text(self, rollout: Rollout) -> str:
        """Its prompt's."""
        return self.prompts[rollout.prompt_id].text

    def score(self, ensemble: Ensemble, rollouts: Sequence[Rollout]) -> Floats:
        """Members' calibrated scores (n, k)."""
        return ensemble.score([self.text(r) for r in rollouts], [r.text for r in rollouts]).members

    def draw_pairs(self, rollouts: Sequence[Rollout], count: int, seed: int) -> NDArray[np.intp]:
        """Rows (count, 2) of different completions of the same prompt, prompts in turn."""
        rng = np.random.default_rng(seed)
        rows: dict[str, list[int]] = {}
        for i, rollout in enumerate(rollouts):
            rows.setdefault(rollout.prompt_id, []).append(i)
        every = [
            rng.permutation([(a, b) for n, a in enumerate(of) for b in of[:n] if rollouts[a].text != rollouts[b].text])
            for of in rows.values()
        ]
        depth = max(len(pairs) for pairs in every)
        ordered = [pairs[k] for k in range(depth) for pairs in every if k < len(pairs)]
        return np.array(ordered[:count])

    def label(
        self, rollouts: Sequence[Rollout], rows: NDArray[np.intp], liked: Floats, noise: float, seed: int
    ) -> list[Pair]:
        """An annotator's comparisons.

        Args:
            rollouts: n completions.
            rows: (pairs, 2) of them.
            liked: (n,) what the annotator likes; equal: a tie.
            noise: chance of a wrong answer.
            seed: of the mistakes.
        """
        wrong = np.random.default_rng(seed).random(len(rows)) < noise
        pairs = []
        for (a, b), mistaken in zip(rows.tolist(), wrong.tolist(), strict=True):
            first = (liked[a] > liked[b]) != mistaken
            chosen, rejected = (a, b) if first else (b, a)
            target = 0.5 if liked[a] == liked[b] else 1.0
            pairs.append(
                Pair(self.text(rollouts[a]), rollouts[chosen].text, rollouts[rejected].text, target, annotator="gold")
            )
        return pairs

    def train(self, pairs: Sequence[Pair], settings: Settings, seed: int) -> Ensemble:
        """An ensemble on these labels, or the one that is there."""
        name = fingerprint([settings.model_dump(mode="json"), seed, [vars(p) for p in pairs]])
        out = self.folder / "rewards" / name
        objective = self.recipe.objectives[0].name
        return train_ensemble(
            objective, pairs, settings, self.recipe.model, out, cache=self.folder, seed=seed, note=self.say
        )


def kept(lab: Lab, name: str, prompts: Sequence[Prompt], samples: int, shard: int) -> list[Rollout]:
    """Completions of prompts under a name, drawn now or found again, in files of so many prompts."""
    made: list[Rollout] = []
    lab.folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(prompts), shard):
        path = lab.folder / f"{name}-{start // shard:03d}.parquet"
        if not table_ok(path):
            lab.say(f"roll out {name}: {start} of {len(prompts)} prompts")
            write_rollouts(path, lab.sample(prompts[start : start + shard], samples, "bench"))
        made += read_rollouts(path)
    return made


def likes_length(rollouts: Sequence[Rollout], gold: Floats) -> Floats:
    """What annotators like who all share a bias: gold, and long answers beside it."""
    words = np.array([len(r.text.split()) for r in rollouts], dtype=float)
    return np.asarray(gold + BIAS * (words - words.mean()) / words.std())
