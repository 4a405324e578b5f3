"""How good a set of points is, as one number; every objective is maximised, in normalised units.

Rows with a NaN are left out. moocore is not given empty sets: its answer for them is undefined.
"""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.front.dominance import nondominated


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Volume that the points dominate above the reference point (Zitzler and Thiele 1998).

    Args:
        values: (n, m).
        reference: (m,).

    Returns:
        At least 0, in units of the product of the objectives; a point that is not above the reference in every
        objective adds nothing, and the empty set has 0. Larger is better.
    """
    points = _complete(values)
    return float(moocore.hypervolume(points, ref=np.asarray(reference, float), maximise=True)) if len(points) else 0.0


def igd_plus(values: ArrayLike, target: ArrayLike) -> float:
    """Mean distance from the target front to the points, counting only shortfalls (Ishibuchi et al. 2015).

    Args:
        values: (n, m).
        target: the front to reach, (t, m), t ≥ 1.

    Returns:
        At least 0; 0 where every target is reached, infinite for the empty set. Smaller is better.
    """
    points = _complete(values)
    return float(moocore.igd_plus(points, ref=_complete(target), maximise=True)) if len(points) else float("inf")


def expected_utility(values: ArrayLike, weights: ArrayLike) -> float:
    """Expected utility metric (Zintgraf et al. 2015): what a user with random linear preferences gets on average.

    Args:
        values: (n, m).
        weights: preferences, (k, m), each on the simplex.

    Returns:
        Mean over the preferences of the best point's ``w · v``; −infinity for the empty set. Larger is better.
    """
    utility = np.asarray(weights, dtype=float) @ _complete(values).T
    return float(utility.max(axis=1, initial=-np.inf).mean())


def spacing(values: ArrayLike) -> float:
    """How unevenly the non-dominated points lie along the front (Schott 1995).

    Args:
        values: (n, m).

    Returns:
        Standard deviation (n − 1) of the L1 distances to the nearest neighbour on the front; 0 where they are
        evenly spaced or fewer than two. Smaller is more even.
    """
    table = np.asarray(values, dtype=float)
    front = table[nondominated(table)]
    if len(front) < 2:
        return 0.0
    distance = np.abs(front[:, None] - front[None]).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    return float(distance.min(axis=1).std(ddof=1))


def _complete(values: ArrayLike) -> NDArray[np.float64]:
    """The rows without a NaN."""
    table: NDArray[np.float64] = np.asarray(values, dtype=float)
    return np.asarray(table[~np.isnan(table).any(axis=1)])
