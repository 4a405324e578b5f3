"""Rewarded Soups (Ramé et al., NeurIPS 2023): average the experts' weights on the simplex.

*Exact* averages the updates of the very experts that our map mixes. *As published*, the released code trains A and
B of a LoRA adapter and averages A and B apart, which is not the average of the updates.
"""

from __future__ import annotations

from pathlib import Path

from pareto.bench.methods.lab import Entry, Lab, Method
from pareto.preferences import compare
from pareto.simplex import corners
from pareto.training.adapters import State, mix

PAPER = "Ramé et al., Rewarded soups, NeurIPS 2023"


def exact(lab: Lab) -> Method:
    """λ = w, updates averaged."""
    entries = [lab.experts_soup(w, w) for w in lab.lattice]
    return Method("Rewarded Soups, exact", PAPER, entries, lab.steps * len(lab.experts))


def published(lab: Lab) -> Method:
    """Experts with an A of their own, A and B averaged apart."""
    names = lab.bench.recipe.names
    own = [_own_expert(lab, k) for k in range(len(names))]
    keys = [lab.bench.meter.keys[n] for n in own]

    def average(weights: tuple[float, ...]) -> Entry:
        parts = [(w, lab.bench.bank.update({name: 1.0})) for w, name in zip(weights, own, strict=True) if w > 0]

        def make(_: Path) -> tuple[State, State]:
            return mix([(w, a) for w, (a, _) in parts]), mix([(w, b) for w, (_, b) in parts])

        if len(parts) == 1:
            return lab.soup(weights, {own[weights.index(1.0)]: 1.0})
        made_from = {"method": "A and B averaged apart", "adapters": keys, "weights": list(weights)}
        return lab.soup(weights, {lab.own("averaged-" + "-".join(map(str, weights)), made_from, make): 1.0})

    return Method(
        "Rewarded Soups, as published", PAPER, [average(w) for w in lab.lattice], lab.steps * len(lab.experts)
    )


def _own_expert(lab: Lab, objective: int) -> str:
    """An expert with both factors trained from the shared start, at half the rate: the usual one where A moves too."""
    bench, ground = lab.bench, lab.bench.ground
    training = bench.recipe.training
    training = training.model_copy(update={"learning_rate": training.learning_rate / 2})
    weights = corners(len(bench.recipe.names))[objective].tolist()

    def make(scratch: Path) -> tuple[State, State]:
        return lab.dpo(compare(ground.pool, ground.scores, weights, training), training, scratch, both=True)

    name = f"own-expert-{bench.recipe.names[objective]}"
    return lab.own(name, {"method": "A and B trained", "weights": weights}, make)
