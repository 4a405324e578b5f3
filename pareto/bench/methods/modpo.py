"""MODPO (Zhou et al., Findings of ACL 2024): DPO on one objective's preferences with a margin from the others.

For weights w with the primary objective k, the loss is −log σ((β·Δ − m) / w_k), where Δ is how much more the policy's
log-ratio favours the chosen completion and m = Σ_{j≠k} w_j (r_j(chosen) − r_j(rejected)). That equals plain DPO with
β / w_k and the chosen completion's reference raised by m / β. The primary objective is the one of largest weight.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pareto.bench.methods.lab import Lab, Method
from pareto.preferences import compare
from pareto.simplex import corners
from pareto.training.adapters import State
from pareto.training.dpo import rows, train_dpo

PAPER = "Zhou et al., Beyond one-preference-fits-all alignment (MODPO), Findings of ACL 2024"


def modpo(lab: Lab) -> Method:
    """One adapter per preference; at the corners there is no margin and the expert is the result."""
    entries = [lab.soup(w, {_adapter(lab, w): 1.0}) for w in lab.coarse]
    return Method("MODPO", PAPER, entries, lab.steps * len(lab.coarse))


def _adapter(lab: Lab, weights: tuple[float, ...]) -> str:
    primary = int(np.argmax(weights))
    if weights[primary] == 1:
        return lab.experts[primary]
    bench, ground = lab.bench, lab.bench.ground
    training = bench.recipe.training
    corner = corners(len(weights))[primary].tolist()
    others = np.array(weights) * (1 - np.array(corner))

    def make(scratch: Path) -> tuple[State, State]:
        bench.bank.merge({})
        comparisons = compare(ground.pool, ground.scores, corner, training)
        margins = [
            float(np.nansum(others * (ground.scores[c.chosen] - ground.scores[c.rejected]))) for c in comparisons
        ]
        ids = {p.id: bench.base.prompt_ids(p.text) for p in ground.prompts}
        data = rows(ids, ground.pool, comparisons, [m / training.beta for m in margins])
        _, b, _ = train_dpo(
            bench.base,
            training.model_copy(update={"beta": training.beta / weights[primary]}),
            data,
            ground.a,
            None,
            ground.trunk,
            steps=training.steps,
            seed=bench.recipe.seed,
            scratch=scratch,
            progress=lambda done, total: None,
        )
        return ground.a, b

    return lab.own("modpo-" + "-".join(map(str, weights)), {"method": "modpo", "weights": list(weights)}, make)
