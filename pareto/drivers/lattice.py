"""Weights from a fixed lattice: Das–Dennis or Riesz energy."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import final

import numpy as np
from optuna.trial import FrozenTrial

from pareto import simplex
from pareto.config import Recipe
from pareto.drivers.options import check_method, check_names, whole
from pareto.drivers.trials import Candidate, key, known

OPTIONS = {"das-dennis": ("n_partitions",), "energy": ("n_points", "seed")}
"""Method → its options, by pymoo's names."""


@final
class Lattice:
    """The lattice's points, the first of them well spread, each asked once.

    Without options the lattice is the smallest that has as many points as the budget.
    """

    def __init__(self, recipe: Recipe) -> None:
        method, m = recipe.driver.method, len(recipe.objectives)
        check_method(method, OPTIONS, "lattice")
        check_names(recipe.driver.options, OPTIONS[method], method)
        points = self._das_dennis(recipe, m) if method == "das-dennis" else self._energy(recipe, m)
        self._candidates = [
            Candidate(
                index=index,
                weights=tuple(point.tolist()),
                sticks=tuple(simplex.to_sticks(point).tolist()),
                settings={},
                proposed_by=f"lattice/{method}",
            )
            for index, point in enumerate(spread(points))
        ]

    def propose(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """The first point of the sequence that no trial has tried; None when all are."""
        tried = known(trials)
        return next((candidate for candidate in self._candidates if key(candidate) not in tried), None)

    def exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether every point has been tried."""
        return self.propose(trials) is None

    @staticmethod
    def _das_dennis(recipe: Recipe, m: int) -> simplex.Array:
        enough = enough_partitions(m, recipe.driver.trials)
        return simplex.das_dennis(m, whole(recipe.driver.options, "n_partitions", enough, least=1))

    @staticmethod
    def _energy(recipe: Recipe, m: int) -> simplex.Array:
        options = recipe.driver.options
        n_points = whole(options, "n_points", max(recipe.driver.trials, m + 1), least=m + 1)
        return simplex.energy(m, n_points, whole(options, "seed", abs(recipe.seed), least=0))


def spread(points: simplex.Array) -> simplex.Array:
    """The corners, then the points, each the farthest from all before it, so that any first k are well spread.

    Gonzalez, "Clustering to minimize the maximum intercluster distance", Theor. Comput. Sci. 38, 1985.

    Args:
        points: weights, shape (n, m); may contain the corners.

    Returns:
        Corners and points once each, shape (at least n, m); equally far points in the order in which they came.
    """
    order = list(simplex.corners(points.shape[1]))
    distance = np.linalg.norm(points[:, None] - np.array(order), axis=-1).min(axis=1)
    while distance.max() > 1e-6:
        # Rounded, so that ties do not fall to the last bits of one machine's arithmetic.
        order.append(points[np.round(distance, 9).argmax()])
        distance = np.minimum(distance, np.linalg.norm(points - order[-1], axis=1))
    return np.array(order)


def enough_partitions(m: int, n_points: int) -> int:
    """The least number of partitions whose Das–Dennis lattice has at least ``n_points`` points."""
    return next(n for n in range(1, n_points + 1) if comb(n + m - 1, m - 1) >= n_points)
