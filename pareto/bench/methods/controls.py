"""Negative controls: what luck does to the same figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pareto.bench.methods.lab import Entry, Lab, Method
from pareto.measure import sample
from pareto.records import Prompt, Rollout, Split

PAPER = "control"


def again(lab: Lab, method: Method) -> Method:
    """The same policies, chosen alike, answering the test prompts under other random numbers: the ratio should be 1."""
    entries = [Entry(e.weights, _with_other_numbers(lab, e)) for e in method.entries]
    return Method(f"Control: {method.name}, other random numbers", PAPER, entries, method.steps)


def random_box(lab: Lab, count: int, high: float) -> Method:
    """The experts and coefficients drawn at random from the box that the map searches: what searching is worth."""
    m = len(lab.experts)
    drawn = np.random.default_rng(lab.bench.recipe.seed).uniform(0, high, size=(count - m, m))
    entries = [lab.experts_soup(None, c.tolist()) for c in [*np.eye(m), *drawn]]
    return Method("Control: random coefficients in the box", PAPER, entries, lab.steps * m)


def _with_other_numbers(lab: Lab, entry: Entry) -> Callable[[Split], str]:
    bench = lab.bench

    def draw(prompts: Sequence[Prompt]) -> list[Rollout]:
        with bench.bank.policy(entry.coefficients):
            rollouts = sample(bench.base, bench.recipe, prompts, "again")
            bench.bank.merge({})
        return rollouts

    def table(split: Split) -> str:
        if split == "validation":
            return entry.table(split)
        named = {bench.meter.keys[k]: v for k, v in entry.coefficients.items()}
        return bench.meter.table_of({"again": named}, split, draw)

    return table
