"""Weights: points of the simplex (non-negative, sum 1), read, written and spread out.

Lattices are pymoo's reference directions; the stick-breaking bijection lets a search over the unit
cube propose weights that are uniform on the simplex.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.config import suggest
from pareto.errors import ParetoError

Array = NDArray[np.float64]

TOLERANCE = 1e-6
"""How far from 1 the sum of given weights may lie."""


HUGE = 1e12
"""Numbers beyond mean nothing here, and their squares overflow."""


def check_weights(weights: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    """Weights by name, checked and put in order.

    Args:
        weights: objective → weight; a missing objective has weight 0.
        names: the objectives in order, shape (m,).

    Returns:
        The weights in the order of ``names``, shape (m,), as given (not renormalised).

    Raises:
        ParetoError: on an unknown name, a weight that is negative or not finite, or a sum other than 1.
    """
    for name, weight in weights.items():
        if name not in names:
            raise ParetoError(f"weights: unknown objective '{name}'; {suggest(name, list(names))}")
        if not math.isfinite(weight):
            raise ParetoError(f"weights: {name}={weight:g} is not a finite number")
        if weight < 0:
            raise ParetoError(f"weights: {name}={weight:g} is negative; weights are 0 or more and sum to 1")
    total = sum(weights.values())
    if abs(total - 1) > TOLERANCE:
        given = ",".join(f"{name}={weight:.3g}" for name, weight in weights.items())
        raise ParetoError(f"weights: {given} sums to {total:g}, not 1")
    return tuple(float(weights.get(name, 0.0)) for name in names)


def parse_weights(text: str, names: Sequence[str]) -> tuple[float, ...]:
    """Weights as typed on a command line, ``helpful=.5,harmless=.5``.

    Args:
        text: comma-separated ``name=number``; a missing objective has weight 0.
        names: the objectives in order, shape (m,).

    Returns:
        The weights in the order of ``names``, shape (m,).

    Raises:
        ParetoError: as `check_weights`, and where the text is malformed or names an objective twice.
    """
    return check_weights(parse_numbers(text, "weights", "helpful=.5,harmless=.5"), names)


def parse_numbers(text: str, what: str, example: str) -> dict[str, float]:
    """Numbers by name as typed on a command line, comma-separated ``name=number``.

    Args:
        text: as typed.
        what: the option, for the error.
        example: right text, for the error.

    Raises:
        ParetoError: where the text is malformed or gives a name twice.
    """
    numbers: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if not (name and equals):
            raise ParetoError(f"{what}: '{part.strip()}' is not name=number, as in {example}")
        if name in numbers:
            raise ParetoError(f"{what}: '{name}' is given twice")
        try:
            numbers[name] = float(number)
        except ValueError:
            raise ParetoError(f"{what}: '{number}' in '{part.strip()}' is not a number") from None
        if HUGE < abs(numbers[name]) < math.inf:
            raise ParetoError(f"{what}: '{number}' in '{part.strip()}' is out of range")
    return numbers


def corners(m: int) -> Array:
    """The preferences for one objective alone, shape (m, m)."""
    return np.eye(m)


def das_dennis(m: int, n_partitions: int) -> Array:
    """All weights that are multiples of 1/n_partitions, shape (C(n_partitions + m - 1, m - 1), m).

    Das and Dennis, "Normal-Boundary Intersection", SIAM J. Optim. 8(3), 1998.
    """
    from pymoo.util.ref_dirs import get_reference_directions

    return np.asarray(get_reference_directions("das-dennis", m, n_partitions=n_partitions), dtype=float)


def energy(m: int, n_points: int, seed: int) -> Array:
    """Any number of well-spread weights, the corners among them, by least Riesz s-energy.

    Blank et al., "Generating Well-Spaced Points on a Unit Simplex", IEEE Trans. Evol. Comput. 25(1), 2021.

    Args:
        m: number of objectives.
        n_points: more than m.
        seed: of the random start, 0 or more.

    Returns:
        Weights, shape (n_points, m).
    """
    return _energy(m, n_points, seed).copy()


@lru_cache(maxsize=8)
def _energy(m: int, n_points: int, seed: int) -> Array:
    """Computed once, since it takes a second and a driver asks for the same again at every proposal."""
    from pymoo.util.ref_dirs import get_reference_directions

    return np.asarray(get_reference_directions("energy", m, n_points, seed=seed), dtype=float)


def from_sticks(u: ArrayLike) -> Array:
    """Weights from a point of the unit cube; uniform cube points give uniform weights.

    Breaks a stick of length 1: piece k takes the share 1 - (1 - u_k)^(1/(m - k)) of what is left, which is
    Beta(1, m - k) for uniform u_k, so that the pieces are Dirichlet(1, …, 1).

    Args:
        u: shape (m - 1,), each within [0, 1].

    Returns:
        Weights, shape (m,).
    """
    u = np.asarray(u, dtype=float)
    keep = (1 - u) ** (1 / np.arange(len(u), 0, -1))
    left = np.concatenate([[1.0], np.cumprod(keep)])
    return np.append(left[:-1] * (1 - keep), left[-1])


def to_sticks(w: ArrayLike) -> Array:
    """The inverse of `from_sticks`, defined on the whole simplex: where nothing is left to break, u_k = 0.

    Next to a corner of the first objectives the powers lose digits: the round trip is exact within about
    (1e-16)^(1/(m - 1)), 5e-6 for four objectives.

    Args:
        w: weights, shape (m,).

    Returns:
        Point of the unit cube, shape (m - 1,).
    """
    left = np.cumsum(np.asarray(w, dtype=float)[::-1])[::-1]
    share = np.divide(left[1:], left[:-1], out=np.ones(len(left) - 1), where=left[:-1] > 0)
    return np.asarray(1 - share ** np.arange(len(share), 0, -1), dtype=float)
