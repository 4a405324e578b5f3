"""One policy out of those that the priorities leave: by balance, weights, a reference point, one objective, the knee.

Every way sees the objectives in the frame's normalised units or in shares of what the policies span, so that a change
of unit changes nothing; equals go by their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pareto.choice.candidates import Candidates
from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.front.dominance import nondominated

Floats = NDArray[np.float64]

RHO = 1e-3
"""Of the augmentation, which keeps weakly dominated policies from being chosen."""


@dataclass(frozen=True)
class Wish:
    """What makes one policy better than another."""

    by: Literal["balanced", "weights", "reference", "most", "knee"] = "balanced"
    """``balanced``: nearest to the best of everything (compromise programming, Zeleny 1973). ``weights``: largest
    weighted sum. ``reference``: achievement scalarisation (Wierzbicki 1980), which also finds what lies in a hollow of
    the front. ``most``: largest value of one objective; with thresholds as priorities, the ε-constraint method.
    ``knee``: where a step to any side costs most for what it gains (Rachmawati and Srinivasan 2009)."""
    values: Mapping[str, float] | None = None
    """``weights``: objective → weight. ``reference``: objective → wanted value in its own units; one that is left out
    asks for nothing."""
    objective: str | None = None
    """``most``."""


def decide(candidates: Candidates, kept: Sequence[str], wish: Wish | None = None) -> str:
    """The policy that a wish prefers.

    Args:
        candidates: measured policies, on validation.
        kept: ids of those that can be chosen, at least one.
        wish: default: balanced.

    Returns:
        Its id; of the non-dominated among the kept.

    Raises:
        ParetoError: an objective that is not there, or a front without a knee.
    """
    wish = wish or Wish()
    frame = candidates.frame
    for name in [*(wish.values or {}), *([wish.objective] if wish.objective else [])]:
        if name not in frame.objectives:
            raise ParetoError(f"no objective '{name}'; {suggest(name, frame.objectives)}")
    here = [i for i, name in enumerate(candidates.ids) if name in set(kept)]
    z = frame.normalise(candidates.means[here])
    front = nondominated(z)
    z, ids = z[front], [candidates.ids[i] for i, keep in zip(here, front, strict=True) if keep]
    if not ids:
        raise ParetoError("none of these policies has a score for every objective")
    cost = _cost(z, wish, candidates)
    return min(zip(cost.round(12).tolist(), ids, strict=True))[1]


def _cost(z: Floats, wish: Wish, candidates: Candidates) -> Floats:
    """(p,) of normalised values (p, m), the least for what is preferred."""
    names = candidates.frame.objectives
    span = np.ptp(z, axis=0)
    span = np.where(span > 0, span, 1.0)
    if wish.by == "weights":
        assert wish.values is not None
        return np.asarray(-z @ np.array([wish.values.get(n, 0.0) for n in names]))
    if wish.by == "most":
        assert wish.objective is not None
        return np.asarray(-z[:, names.index(wish.objective)] - RHO * (z / span).sum(axis=1))
    if wish.by == "reference":
        return _short_of(_aims(z, wish, candidates), z, span)
    balanced = np.linalg.norm((z.max(axis=0) - z) / span, axis=1)
    if wish.by == "knee":
        knees = _knees(z / span)
        return np.where(np.isin(np.arange(len(z)), knees), balanced, np.inf)
    return np.asarray(balanced)


def _aims(z: Floats, wish: Wish, candidates: Candidates) -> Floats:
    """The reference point, normalised; the worst that there is where nothing is asked."""
    frame = candidates.frame
    assert wish.values is not None
    own = np.array([wish.values.get(n, np.nan) for n in frame.objectives])
    aims = frame.normalise(own)
    return np.where(np.isnan(aims), z.min(axis=0), aims)


def _short_of(aims: Floats, z: Floats, span: Floats) -> Floats:
    """Achievement: the largest shortfall from the reference point in shares of the span, augmented."""
    from pymoo.decomposition.asf import ASF

    worst = ASF().do(-z, span, utopian_point=-aims).ravel()
    return np.asarray(worst + RHO * ((aims - z) / span).sum(axis=1))


def _knees(shares: Floats) -> NDArray[np.int_]:
    """Indices of the policies of outstanding trade-off.

    Raises:
        ParetoError: none stands out.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import of scipy's old name, and divisions by a gain of zero
        from pymoo.mcdm.high_tradeoff import HighTradeoffPoints

        found = HighTradeoffPoints().do(-shares) if len(shares) > 3 else None
    if found is None or len(found) == 0:
        raise ParetoError(f"no knee: of {len(shares)} policies on the front, none trades off much better than the rest")
    return np.asarray(found)
