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

PAPER = "Zhou et al., Beyond one-preference-fits-all alignment (MODPO), Findings of ACL 2024"


def modpo(lab: Lab) -> Method:
    """One adapter per preference; at the corners there is no margin and the expert is the result."""
    entries = [lab.soup(w, {_adapter(lab, w): 1.0}) for w in lab.coarse]
    return Method("MODPO", PAPER, entries, lab.steps * len(lab.coarse))


def _adapter(lab: Lab, weights: tuple[float, ...]) -> str:
    primary = int(np.argmax(weights))
    if weights[primary] == 1:
        return lab.experts[primary]
    ground, training = lab.bench.ground, lab.bench.recipe.training
    corner = corners(len(weights))[primary].tolist()
    others = np.array(weights) * (1 - np.array(corner))

    def make(scratch: Path) -> tuple[State, State]:
        scores = ground.scores
        comparisons = compare(ground.pool, scores, corner, training)
        margins = [float(np.nansum(others * (scores[c.chosen] - scores[c.rejected]))) for c in comparisons]
        sharper = training.model_copy(update={"beta": training.beta / weights[primary]})
        return lab.dpo(comparisons, sharper, scratch, [m / training.beta for m in margins])

    return lab.own("modpo-" + "-".join(map(str, weights)), {"method": "modpo", "weights": list(weights)}, make)
