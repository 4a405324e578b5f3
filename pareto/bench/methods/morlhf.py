"""MORLHF by linear scalarisation (Li et al., 2021, as in Rewarded Soups and MODPO): train one adapter per weight."""

from __future__ import annotations

from pareto.bench.methods.lab import Lab, Method

PAPER = "Li et al., Deep RL for multiobjective optimization, 2021; here with DPO on the scalarised rewards"


def morlhf(lab: Lab) -> Method:
    """Every preference trained from the base for as many steps as an expert."""
    entries = [lab.soup(w, {lab.train(_name(lab, w), w): 1.0}) for w in lab.lattice]
    return Method("One adapter per weight (MORLHF)", PAPER, entries, lab.steps * len(lab.lattice))


def _name(lab: Lab, weights: tuple[float, ...]) -> str:
    if max(weights) == 1:
        return lab.experts[weights.index(1.0)]
    return "morlhf-" + "-".join(map(str, weights))
