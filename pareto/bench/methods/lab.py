"""What all methods of a comparison share: base, prompts, rewards, pool, random numbers, and the experts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.config import Training
from pareto.front.statistics import prompt_means
from pareto.records import Comparison, Point, Prompt, Rollout, Split
from pareto.simplex import das_dennis
from pareto.store.files import discard, fingerprint, folder, folder_ok, write_json
from pareto.store.points import load_points
from pareto.store.tables import read_scores
from pareto.training.adapters import State, write_adapter
from pareto.training.dpo import rows, train_dpo
from pareto.training.train import Job, train
from pareto.workbench import Workbench

Weights = tuple[float, ...]
PARTITIONS = 4
"""Of the lattice of preferences: 15 for three objectives."""
COARSE = 3
"""Of the lattice for methods whose every policy costs a training run or several forward passes a token: 10 for three
objectives, the corners included."""


@dataclass(frozen=True)
class Entry:
    """One policy of a method."""

    weights: Weights | None
    """The preference that it is for; ``None`` where it was not made for one."""
    table: Callable[[Split], str]
    """Measures it on a split, or finds it measured; the name of its table of scores."""
    coefficients: Mapping[str, float] = field(default_factory=dict)
    """Of the adapters in the bank, where it is a soup."""


@dataclass(frozen=True)
class Method:
    """All policies of a method, and what they cost."""

    name: str
    paper: str
    entries: Sequence[Entry]
    steps: int
    """Optimiser steps spent on training, those of the experts included."""
    passes: int = 1
    """Forward passes per generated token."""


@dataclass
class Lab:
    """One seed's common ground, from a run whose experts are trained."""

    bench: Workbench
    lattice: list[Weights] = field(init=False)
    """The preferences, corners included."""
    coarse: list[Weights] = field(init=False)
    """Fewer of them, corners included."""
    experts: list[str] = field(init=False)
    """Their names in the bank, in the order of the objectives."""

    def __post_init__(self) -> None:
        names = self.bench.recipe.names
        self.lattice = _lattice(len(names), PARTITIONS)
        self.coarse = _lattice(len(names), COARSE)
        self.experts = [f"expert-{n}" for n in names]

    @property
    def steps(self) -> int:
        """Optimiser steps of one adapter."""
        return self.bench.recipe.training.steps

    def soup(self, weights: Sequence[float] | None, coefficients: Mapping[str, float]) -> Entry:
        """The soup of adapters in the bank."""
        mixed = {k: v for k, v in coefficients.items() if v != 0}
        chosen = None if weights is None else tuple(weights)
        return Entry(chosen, lambda split: self.bench.meter.table(mixed, split), mixed)

    def experts_soup(self, weights: Sequence[float] | None, coefficients: Sequence[float]) -> Entry:
        """The soup of the experts, coefficients in the order of the objectives."""
        return self.soup(weights, dict(zip(self.experts, coefficients, strict=True)))

    def sampled(
        self, weights: Sequence[float], policy: Mapping[str, Any], draw: Callable[[Sequence[Prompt]], list[Rollout]]
    ) -> Entry:
        """A policy with a decoder of its own, named by plain data."""
        return Entry(tuple(weights), lambda split: self.bench.meter.table_of(policy, split, draw))

    def train(self, name: str, weights: Sequence[float]) -> str:
        """Train from the base at weights, as the sweep trains an expert; the adapter's name in the bank."""
        if name not in self.bench.meter.keys:
            made = train(self.bench.ground, Job(tuple(weights), {}, {}), None, self.bench.run.adapters)
            self.bench.join(name, made.name)
        return name

    def own(self, name: str, made_from: Mapping[str, Any], make: Callable[[Path], tuple[State, State]]) -> str:
        """An adapter that a method makes in its own way, kept under a hash of ``made_from``; its name in the bank.

        Args:
            name: for the bank.
            made_from: plain data that says all of how it is made, beside what the run fixes.
            make: gives (A, B); may write to the folder that it is given.
        """
        bench = self.bench
        ground = bench.ground
        stands_on = {"base": bench.base.fingerprint, "a": ground.a_hash, "pool": ground.pool_key}
        training = bench.recipe.training.model_dump(mode="json")
        key = fingerprint({**made_from, **stands_on, "training": training, "seed": bench.recipe.seed})
        out = bench.run.adapters / key
        if not folder_ok(out):
            discard(out)
            with tempfile.TemporaryDirectory() as scratch:
                a, b = make(Path(scratch))
            with folder(out) as made:
                write_adapter(made, bench.base, bench.recipe.training.lora, a, b, {"made": dict(made_from)})
                write_json(made / "log.json", [])
        bench.join(name, key)
        return name

    def dpo(
        self,
        comparisons: Sequence[Comparison],
        training: Training,
        scratch: Path,
        handicaps: Sequence[float] | None = None,
        *,
        both: bool = False,
    ) -> tuple[State, State]:
        """(A, B) of an adapter trained from the base, on the pool that all methods share; see ``train_dpo``."""
        bench, ground = self.bench, self.bench.ground
        bench.bank.merge({})
        ids = {p.id: bench.base.prompt_ids(p.text) for p in ground.prompts}
        a, b, _ = train_dpo(
            bench.base,
            training,
            rows(ids, ground.pool, comparisons, handicaps),
            ground.a,
            None,
            ground.trunk,
            steps=training.steps,
            seed=bench.recipe.seed,
            scratch=scratch,
            progress=lambda done, total: None,
            both=both,
        )
        return a, b

    def points(self) -> list[Point]:
        """What the run itself measured on validation, base left out."""
        return [p for p in load_points(self.bench.run) if p.split == "validation" and p.kind != "base"]

    def scores(self, table: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A table's objectives (prompts, m) in their own units, and KL to the base (prompts,), nats per token."""
        recipe = self.bench.recipe
        columns = read_scores(self.bench.run.scores / f"{table}.parquet").columns
        per_prompt = {k: prompt_means(v, recipe.evaluation.samples_per_prompt) for k, v in columns.items()}
        return np.stack([per_prompt[n] for n in recipe.names], axis=1), per_prompt["gold:kl"]


def _lattice(m: int, partitions: int) -> list[Weights]:
    return [tuple(map(float, w)) for w in das_dennis(m, partitions)]
