"""The price of a little more of one objective at a place on the frontier, by the surrogate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.markup.marks import figure
from pareto.soups.outlook import Outlook

STEP = 0.1
"""Change of one coefficient."""
LEAST = 0.005
"""Changes below this, in base standard deviations, are nothing."""


def exchange(outlook: Outlook, coefficients: Mapping[str, float], objective: str) -> dict[str, float] | None:
    """What the step of one coefficient that helps an objective most does to all of them.

    Args:
        outlook: predicts; steps stay within its box, or within what the coefficients reach already, and its KL.
        coefficients: where one stands.
        objective: which is to become better.

    Returns:
        Objective → change for the better, in its own units (negative: worse); ``None`` where no step helps.
    """
    at = np.array([coefficients.get(name, 0.0) for name in outlook.adapters])
    low, high = outlook.map.box
    steps = STEP * np.vstack([np.eye(len(at)), -np.eye(len(at))])
    ends = np.clip(at + steps, np.minimum(at, low), np.maximum(at, high))
    root_kl = outlook.map.kl.mean(np.vstack([at, ends]))[:, 0]
    ends = ends[root_kl[1:] <= max(np.sqrt(outlook.map.max_kl), root_kl[0])]
    if not len(ends):
        return None
    mean = outlook.map.surrogate.mean(np.vstack([at, ends]))
    change = mean[1:] - mean[0]
    best = change[change[:, outlook.objectives.index(objective)].argmax()]
    if best[outlook.objectives.index(objective)] < LEAST:
        return None
    kept = np.where(np.abs(best) < LEAST, 0.0, best) * np.array(outlook.map.frame.scale)
    return dict(zip(outlook.objectives, kept.tolist(), strict=True))


def sentence(outlook: Outlook, coefficients: Mapping[str, float], order: Sequence[str]) -> str:
    """The exchange in words, for the first objective of an order that can still gain."""
    for name in order:
        found = exchange(outlook, coefficients, name)
        if found is None:
            continue
        maximised = outlook.map.frame.signs[outlook.objectives.index(name)] > 0
        costs = sorted((change, other) for other, change in found.items() if change < 0)
        cost = (
            " and ".join(f"{figure(-change, -change)} {other}" for change, other in costs[:2]) or "nothing measurable"
        )
        gain, way = figure(found[name], found[name]), "more" if maximised else "less"
        return f"A little {way} {name} gains {gain} and costs {cost}."
    return "No small step of the mix gains anything here."
