"""From preference weights to the coefficients of a soup of experts, and which weights to try."""

from __future__ import annotations

import numpy as np

from pareto.simplex import das_dennis


def soup_of(weights: dict[str, float], experts: dict[str, str], scale: float) -> dict[str, float]:
    """Coefficients of the soup of experts at these weights, the largest of them ``scale``.

    Averaging (coefficients that sum to 1) shrinks the update; the largest keeps its full size here instead.
    """
    known = {n: w for n, w in weights.items() if n in experts and w > 0}
    largest = max(known.values(), default=1.0)
    return {experts[n]: scale * w / largest for n, w in known.items()}


def unexplored(m: int, tried: list[tuple[float, ...]], count: int) -> list[tuple[float, ...]]:
    """``count`` weights of a fine lattice, each in turn as far as can be from all that is tried."""
    lattice = das_dennis(m, 4)
    points = np.array(tried) if tried else np.empty((0, m))
    out: list[tuple[float, ...]] = []
    for _ in range(min(count, len(lattice))):
        far = np.linalg.norm(lattice[:, None] - points[None], axis=2).min(axis=1, initial=np.inf)
        best = lattice[int(np.lexsort((np.arange(len(far)), -far.round(9)))[0])]
        if len(points) and far.max() < 1e-9:
            break
        out.append(tuple(float(w) for w in best))
        points = np.vstack([points, best])
    return out
