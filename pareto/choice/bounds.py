"""Confidence bounds for the mean of a bounded score over few prompts.

Scores of a good policy pile up at one end: harmless is 0.97 nearly always and 0.3 sometimes. A t interval is far too
sure there (100 of 100 right has standard error 0). The bound here is Gaffke's (Learned-Miller and Thomas 2020,
arXiv 1905.06208): the α-quantile of the scores' mean under Dirichlet(1, …, 1) weights, with the lowest possible score
put beside them. On scores of 0 and 1 it is Clopper's and Pearson's; it knows nothing of the order of the prompts and
nothing of a unit. Its coverage is proved for 0/1 scores and conjectured beyond; in simulation it held for every shape
tried (tests/choice/test_bounds.py), where the betting bound of Waudby-Smith and Ramdas, which is proved for all, lies
1.1 to 2 times as far below the truth.

The quantile is found without drawing. With E₀, E₁, … independent exponentials, the weighted mean lies below m just when
Σ (xᵢ − m) Eᵢ ≤ 0. The saddlepoint formula gives that probability (Barndorff-Nielsen's r*; Butler 2007, section 2.3).
Written with d = 1 / (1 + τ (x − lowest)), where τ ≥ 0 stands for the saddlepoint, N terms and c = N / Σ d:
m − lowest = (c − 1) / τ, r² = −2 (Σ log d + N log c), u² = N (N Σ d² / (Σ d)² − 1), and Φ(−r − log(u / r) / r) = α.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import elementwise
from scipy.special import ndtri

Floats = NDArray[np.float64]

_SMALLEST, _LARGEST = 1e-6, 1e12
"""Of τ, with the scores' reach above the lowest as unit. Where prompts are counted, a τ below takes millions."""
_LOST = 1e-6
"""Below this r² its ratio to u² is lost in rounding; only α near ½ ends there, and r alone will do."""
_BEYOND = 1e6
"""Stands for infinitely many standard deviations."""


def lower_bounds(scores: ArrayLike, lowest: float, alpha: float) -> Floats:
    """A one-sided bound for each policy's mean: the truth lies below it with probability α at most.

    Args:
        scores: per-prompt scores, (p, q), in any unit; NaN prompts are left out.
        lowest: the least possible score, in the same unit.
        alpha: in (0, ½).

    Returns:
        (p,), between ``lowest`` and the mean; ``lowest`` where there is no score above it. Monotone in α.
    """
    unit, y, missing = _above(scores, lowest)
    n = y.shape[1] - missing
    z = -ndtri(alpha)

    def depth(log_tau: Floats, row: NDArray[np.int64]) -> Floats:
        d1, d2, logs = _sums(np.exp(log_tau), y[row], missing[row])
        total = n[row] + 1
        return np.asarray(_deviations(total, d1 + 1, d2 + 1, logs, total / (d1 + 1)) - z)

    bounds: Floats = np.full(len(y), float(lowest))
    rows = np.flatnonzero(unit > 0)
    if rows.size:
        tau = np.exp(_root(depth, rows))
        d1, _, _ = _sums(tau, y[rows], missing[rows])
        bounds[rows] += unit[rows] * ((n[rows] + 1) / (d1 + 1) - 1) / tau
    return bounds


def upper_bounds(scores: ArrayLike, highest: float, alpha: float) -> Floats:
    """The mirror image of ``lower_bounds``: the truth lies above it with probability α at most."""
    return np.asarray(-lower_bounds(-np.asarray(scores, dtype=float), -highest, alpha))


def prompts_wanted(scores: ArrayLike, lowest: float, wanted: float, alpha: float) -> Floats:
    """How many prompts it takes until the lower bound reaches a value, if scores go on coming as they came.

    Args:
        scores: per-prompt scores, (p, q); NaN prompts are left out but counted.
        lowest: the least possible score.
        wanted: what the bound is to reach, above ``lowest``.
        alpha: as in ``lower_bounds``.

    Returns:
        (p,) prompts in all, the missing ones counted; infinite where the mean itself does not lie above ``wanted``,
        or so little that it takes millions.
    """
    unit, y, missing = _above(scores, lowest)
    n = y.shape[1] - missing
    m = np.divide(wanted - lowest, unit, out=np.ones(len(y)), where=unit > 0)
    z = -ndtri(alpha)

    def copies(tau: Floats, row: NDArray[np.int64], d1: Floats) -> Floats:
        """How many times the scores are there when the saddlepoint of m is τ; infinite where it never is."""
        room = n[row] - (1 + m[row] * tau) * d1
        return np.asarray(np.divide(m[row] * tau, room, out=np.full(len(tau), np.inf), where=room > 0))

    def depth(log_tau: Floats, row: NDArray[np.int64]) -> Floats:
        tau = np.exp(log_tau)
        d1, d2, logs = _sums(tau, y[row], missing[row])
        k = copies(tau, row, d1)
        finite = np.isfinite(k)
        k[~finite] = 1.0
        deviations = _deviations(k * n[row] + 1, k * d1 + 1, k * d2 + 1, k * logs, 1 + m[row] * tau)
        return np.where(finite, deviations - z, _BEYOND)

    prompts = np.full(len(y), np.inf)
    rows = np.flatnonzero((unit > 0) & (y.sum(axis=1) > m * n))
    if rows.size:
        tau = np.exp(_root(depth, rows))
        found = copies(tau, rows, _sums(tau, y[rows], missing[rows])[0])
        prompts[rows] = np.where(tau > _SMALLEST * 1.001, found * y.shape[1], np.inf)
    return prompts


def _above(scores: ArrayLike, lowest: float) -> tuple[Floats, Floats, Floats]:
    """Each row's largest distance to the lowest score (p,), the distances in that unit (p, q), how many are NaN."""
    raw = np.asarray(scores, dtype=float) - lowest
    absent = np.isnan(raw)
    # A missing score counts as 0, which adds 1 to Σ d and nothing to Σ log d; `_sums` takes the 1 off again.
    raw = np.where(absent, 0.0, np.maximum(raw, 0.0))
    unit = raw.max(axis=1, initial=0.0)
    return unit, raw / np.where(unit > 0, unit, 1.0)[:, None], absent.sum(axis=1).astype(float)


def _sums(tau: Floats, y: Floats, missing: Floats) -> tuple[Floats, Floats, Floats]:
    """Σ d, Σ d², Σ log d over the prompts of each row, without the lowest score."""
    d = tau[:, None] * y
    d += 1.0
    np.reciprocal(d, out=d)
    return d.sum(axis=1) - missing, np.einsum("pq,pq->p", d, d) - missing, np.log(d).sum(axis=1)


def _deviations(total: Floats, d1: Floats, d2: Floats, logs: Floats, c: Floats) -> Floats:
    """How many standard deviations m lies below the scores: r + log(u / r) / r."""
    r2 = np.maximum(-2 * (logs + total * np.log(c)), 0.0)
    u2 = np.where(r2 > _LOST, total * (total * d2 / d1**2 - 1), 1.0)
    known = np.maximum(r2, _LOST)
    return np.asarray(np.sqrt(r2) + np.where(r2 > _LOST, np.log(u2 / known) / (2 * np.sqrt(known)), 0.0))


def _root(f: Callable[[Floats, NDArray[np.int64]], Floats], rows: NDArray[np.int64]) -> Floats:
    """log τ where the increasing f is 0, for each row; the nearer end where it is 0 nowhere between."""
    ends = np.log([_SMALLEST, _LARGEST])
    low, high = (np.full(len(rows), end) for end in ends)
    tolerances = {"xatol": 1e-9, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0}
    found = elementwise.find_root(f, (low, high), args=(rows,), tolerances=tolerances)
    if found.success.all():
        return np.asarray(found.x)
    return np.where(found.success, found.x, np.where(f(low, rows) >= 0, low, high))
