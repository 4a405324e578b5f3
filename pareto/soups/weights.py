"""From preference weights to the coefficients of a soup of experts, and which weights to try."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from pareto.simplex import Array, corners, das_dennis


def soup_of(
    weights: dict[str, float],
    experts: dict[str, str],
    scale: float,
    trained: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, float]:
    """Coefficients of the soup of experts at these weights, the largest of them ``scale``.

    Averaging (coefficients that sum to 1) shrinks the update; the largest keeps its full size here instead.

    Args:
        weights: objective → weight, a point of the simplex; a missing objective has weight 0.
        experts: objective → its expert's name; without the expert of an objective, its weight is left out.
        scale: of the largest coefficient, > 0.
        trained: objective → the weights that its expert was trained at (backbones, `axes_weights`); the
            coefficients then solve Wᵀλ = w (Xie et al., "Bone Soups", ACL 2025) and may be negative. Without it,
            each expert was trained for its objective alone, and λ = w.

    Returns:
        Expert's name → coefficient, without the zeros.
    """
    order = [n for n in weights if n in experts] + [n for n in experts if n not in weights]
    wanted = {n: weights.get(n, 0.0) for n in order}
    if trained is not None:
        objectives = list(dict.fromkeys([*weights, *experts]))
        rows = np.array([[trained[n].get(o, 0.0) for o in objectives] for n in order])
        solved = mixed_to([weights.get(o, 0.0) for o in objectives], rows)
        wanted = dict(zip(order, solved.tolist(), strict=True))
    largest = max(wanted.values(), default=0.0)
    return {experts[n]: scale * w / largest for n, w in wanted.items() if w != 0} if largest > 0 else {}


def mixed_to(weights: ArrayLike, trained: ArrayLike) -> Array:
    """λ whose mixture of training weights is this preference: Wᵀλ = w.

    Args:
        weights: w, shape (m,).
        trained: W, the weights that K adapters were trained at, shape (K, m).

    Returns:
        λ, shape (K,), to twelve decimals; of least squares where K adapters cannot reach w.
    """
    solution = np.linalg.lstsq(np.asarray(trained, dtype=float).T, np.asarray(weights, dtype=float), rcond=None)[0]
    # So that the last bits of one machine's arithmetic make no other soup, and what is to be zero is zero.
    return np.asarray(solution.round(12) + 0.0)


def axes_weights(m: int, beta: float) -> Array:
    """The mixed rewards that backbones are trained on (Xie et al., "Bone Soups", ACL 2025).

    Args:
        m: number of objectives.
        beta: weight of a backbone's own objective, above 1/m and at most 1, where backbones are experts.

    Returns:
        W, shape (m, m): ``beta`` on the diagonal, (1 − beta)/(m − 1) elsewhere.
    """
    others = (1 - beta) / (m - 1)
    return np.full((m, m), others) + (beta - others) * corners(m)


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
