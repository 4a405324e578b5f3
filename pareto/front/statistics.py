"""How sure a front is: bootstrap over prompts with common random numbers.

Noise makes fronts. Eleven identical policies measured with error show several "non-dominated" points and more
hypervolume than one of them, because a front keeps whatever happened to score high. So the points are selected on
one split of the prompts and reported on another; see ``analyse``. Resampling repeats the mistake: the bootstrap of
a maximum is biased upward, by about as much as the estimate itself. The intervals are therefore the basic ones
(Davison and Hinkley 1997, section 5.2), which reflect the draws about the estimate and so take that bias off.
Measured over 200 simulated selections from eleven points of four objectives, 100 prompts, 95 % intervals: the
hypervolume's lower end lay above the truth in 63 % (identical policies) and 36 % (a real front) of them with
percentile intervals, in 6 % and 4 % with these; with two objectives 17 % and 5 % against 6 % and 3 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.errors import ParetoError
from pareto.front.dominance import nondominated
from pareto.front.frame import Frame
from pareto.front.indicators import expected_utility, hypervolume, igd_plus, spacing

Floats = NDArray[np.float64]

_REDRAWS = 1000
"""Rounds of redrawing before prompts are called too few; with one scored prompt in q a draw misses it 37 % of the
time, so only many points scored on different single prompts come near it."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, ``low <= value <= high``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class FrontStatistics:
    """A front measured on one split: p points, m objectives."""

    mean: Floats
    """(p, m), in the objectives' own units; NaN where a point has no score."""
    se: Floats
    """(p, m), standard error of the mean over prompts; NaN with fewer than two prompts."""
    hypervolume: Interval
    """Of the selected points, above the frame's reference."""
    igd_plus: Interval
    """Of the selected points, to the target."""
    expected_utility: Interval
    """Of the selected points, in base standard deviations."""
    spacing: Interval
    """Of the selected points' front."""
    on_front: NDArray[np.bool_]
    """(p,): selected, and non-dominated among the selected points on this split."""
    p_nondominated: Floats
    """(p,), in [0, 1]: share of the resamplings in which no other of the p points dominates this one."""


def analyse(
    scores: ArrayLike,
    frame: Frame,
    *,
    select: ArrayLike | None = None,
    target: ArrayLike | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> FrontStatistics:
    """Measure a set of points and their front on one split of the prompts.

    To report a front honestly, call this twice: on the validation scores, whose ``on_front`` chooses the points,
    then on the test scores with ``select`` set to that choice. With ``select=None`` the same scores choose and
    judge, and hypervolume and expected utility are biased upward: fine for a progress display, not for a claim.

    Args:
        scores: per-prompt means, (p, q, m), in the objectives' own units; NaN where an objective does not apply.
            Row q is the same prompt for all points.
        frame: the sweep's fixed normalisation and reference point.
        select: (p,), true for the points chosen on another split; default: all.
        target: the front that IGD+ measures the distance to, (t, m), normalised; default: the non-dominated ones
            of all p points on this split.
        resamples: number of bootstrap draws.
        confidence: of the intervals, in (0, 1).
        seed: of the draws.

    Returns:
        Point estimates and basic bootstrap intervals, each widened to hold its estimate. With no point selected,
        the indicators are those of the empty set.

    Raises:
        ParetoError: the prompts are too few to be resampled.
    """
    table = np.asarray(scores, dtype=float)
    chosen = np.ones(len(table), dtype=bool) if select is None else np.asarray(select, dtype=bool)
    mean, se = _mean_se(table)
    values = frame.normalise(mean)
    draws = frame.normalise(resample_means(table, resamples, seed))
    reached = values[nondominated(values)] if target is None else np.asarray(target, dtype=float)
    preferences = simplex_sample(len(frame.objectives))

    def interval(indicator: Callable[[Floats], float], least: float = 0.0) -> Interval:
        value = indicator(values[chosen])
        if np.isinf(value):
            return Interval(value, value, value)
        tail = (1 - confidence) / 2
        low, high = np.quantile([indicator(draw[chosen]) for draw in draws], [tail, 1 - tail]).tolist()
        return Interval(value, max(least, min(2 * value - high, value)), max(2 * value - low, value))

    on_front = chosen.copy()
    on_front[chosen] = nondominated(values[chosen])
    return FrontStatistics(
        mean=mean,
        se=se,
        hypervolume=interval(lambda v: hypervolume(v, frame.reference)),
        igd_plus=interval(lambda v: igd_plus(v, reached)),
        expected_utility=interval(lambda v: expected_utility(v, preferences), least=-np.inf),
        spacing=interval(spacing),
        on_front=on_front,
        p_nondominated=np.mean([nondominated(draw) for draw in draws], axis=0),
    )


def resample_means(scores: ArrayLike, resamples: int, seed: int) -> Floats:
    """Means over prompts under bootstrap draws of the prompts, the same draws for all points.

    Args:
        scores: per-prompt means, (p, q, m), NaN where an objective does not apply.
        resamples: number of draws B.
        seed: of the draws.

    Returns:
        (B, p, m); NaN where a point has no score at all. A draw that leaves out every prompt of some objective
        is drawn again.

    Raises:
        ParetoError: hardly any draw has a prompt for every objective.
    """
    table = np.asarray(scores, dtype=float)
    p, q, m = table.shape
    columns = table.transpose(1, 0, 2).reshape(q, p * m)
    present = ~np.isnan(columns)
    known = present.any(axis=0)
    rng = np.random.default_rng(seed)
    even = np.full(q, 1 / q)
    # counts[b, i]: how often draw b holds prompt i; a product with it sums over the draw without copying scores.
    counts = rng.multinomial(q, even, size=resamples).astype(float)
    for _ in range(_REDRAWS):
        applies = counts @ present
        bad = (applies[:, known] == 0).any(axis=1)
        if not bad.any():
            break
        counts[bad] = rng.multinomial(q, even, size=int(bad.sum()))
    else:
        raise ParetoError(f"too few of the {q} prompts have scores to resample them; measure on more prompts")
    total = counts @ np.where(present, columns, 0.0)
    means = np.divide(total, applies, out=np.full(total.shape, np.nan), where=applies > 0)
    return np.asarray(means.reshape(resamples, p, m))


def prompt_means(values: Floats, samples: int) -> Floats:
    """Mean over the samples of each prompt.

    Args:
        values: (q · samples, ...), the samples of a prompt next to each other; NaN = does not apply.
        samples: samples per prompt.

    Returns:
        (q, ...); NaN where it applies to no sample.
    """
    grouped = values.reshape(-1, samples, *values.shape[1:])
    count = np.isfinite(grouped).sum(axis=1)
    return np.asarray(np.nansum(grouped, axis=1) / np.where(count, count, np.nan))


def paired_difference(a: ArrayLike, b: ArrayLike) -> tuple[float, float, int]:
    """Mean difference of two policies on the same prompts, which their common noise cancels from.

    Args:
        a: per-prompt means of one policy, (q,).
        b: of the other on the same prompts, (q,).

    Returns:
        Mean of ``a - b`` over the prompts where both have a score, its standard error, and their number. The
        standard error is NaN with fewer than two, the mean with none.
    """
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    mean, se = _mean_se(difference[None, :, None])
    return float(mean[0, 0]), float(se[0, 0]), int((~np.isnan(difference)).sum())


def simplex_sample(m: int, k: int = 200) -> Floats:
    """The fixed preferences of the expected utility: k weights uniform on the simplex of m objectives, (k, m)."""
    return np.random.default_rng(0).dirichlet(np.ones(m), size=k)


def _mean_se(table: Floats) -> tuple[Floats, Floats]:
    """Mean over prompts and its standard error, (p, q, m) → two of (p, m)."""
    present = ~np.isnan(table)
    n = present.sum(axis=1)
    unknown = np.full(n.shape, np.nan)
    mean = np.divide(np.where(present, table, 0.0).sum(axis=1), n, out=unknown.copy(), where=n > 0)
    squares = np.where(present, (table - mean[:, None]) ** 2, 0.0).sum(axis=1)
    return mean, np.sqrt(np.divide(squares, n * (n - 1.0), out=unknown, where=n > 1))
