"""What a round gained, and how far its reward models are from the gold rewards: numbers and intervals, no I/O.

All in base standard deviations over the base policy, on prompts that nothing was selected on. Proxy and gold have
different units, so each is divided by its own spread over prompts under the base policy. Every interval is the basic
bootstrap's (see ``pareto.front.statistics``), over prompts that all policies of both rounds have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.front.dominance import nondominated
from pareto.front.indicators import hypervolume
from pareto.front.statistics import Interval, prompt_means, resample_means

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """The policies of a round on q test prompts: p policies, m objectives."""

    proxy: Floats
    """(p, q, m) what the round's reward models give, in base standard deviations, more is better; NaN where the
    objective does not apply."""
    gold: Floats
    """(p, q, m) what the gold rewards give; an objective that has none is NaN throughout."""
    base: int
    """Row of the base policy."""
    selected: NDArray[np.bool_]
    """(p,) chosen on validation, by the proxy alone."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A round's gains and gaps."""

    proxy: Floats
    """(p, m) gain over the base."""
    gold: Floats
    """(p, m) gain over the base; NaN where there is no gold reward."""
    gold_se: Floats
    """(p, m) standard error of the paired gain."""
    on_front: NDArray[np.bool_]
    """(p,) selected, and not dominated under gold by another that was (under the proxy where nothing has gold)."""
    gaps: list[Interval | None]
    """Proxy gain minus gold gain by objective, mean over the selected policies, (m,); ``None`` without gold."""
    hypervolume: Interval | None = None
    """Of the selected policies under gold, over the objectives that have gold; ``None`` where none has."""
    gap: Interval | None = None
    """Mean size of ``gaps``: what is promised too much of one objective is not made up for by too little of another."""
    gain: Interval | None = None
    """In hypervolume over the round before."""
    widened: Interval | None = None
    """``gap`` minus that of the round before."""


def outcome(
    now: Measured, last: Measured | None, reference: Floats, *, resamples: int, confidence: float, seed: int
) -> Outcome:
    """Compare a round's policies with the base and with those of the round before.

    Args:
        now: the round's.
        last: those of the round before, on the same prompts.
        reference: of the hypervolume, (m,), in the gold rewards' base standard deviations.
        resamples: number of bootstrap draws.
        confidence: of the intervals.
        seed: of the draws.

    Raises:
        ParetoError: too few prompts have scores.
    """
    known = np.asarray(~np.isnan(now.gold).all(axis=(0, 1)))
    parts = [now] if last is None else [now, last]
    tables = np.concatenate([np.concatenate([part.proxy, part.gold], axis=2) for part in parts])
    draws = resample_means(tables, resamples, seed)
    means = np.stack([prompt_means(table, len(table))[0] for table in tables])
    here, before = slice(0, len(now.proxy)), slice(len(now.proxy), None)

    def interval(statistic: Callable[[Floats], float]) -> Interval:
        value = statistic(means)
        tail = (1 - confidence) / 2
        low, high = np.quantile([statistic(draw) for draw in draws], [tail, 1 - tail]).tolist()
        return Interval(value, min(2 * value - high, value), max(2 * value - low, value))

    def volume(part: Measured, rows: slice) -> Callable[[Floats], float]:
        return lambda table: hypervolume(_half(table[rows], 1)[part.selected][:, known], reference[known])

    def gap(part: Measured, rows: slice, column: int) -> Callable[[Floats], float]:
        return lambda table: float(_gaps(table[rows], part)[column])

    def size(part: Measured, rows: slice) -> Callable[[Floats], float]:
        return lambda table: float(np.abs(_gaps(table[rows], part)[known]).mean())

    proxy, gold = (_gains(_half(means[here], side), now.base) for side in (0, 1))
    on_front = now.selected.copy()
    on_front[on_front] = nondominated(gold[on_front][:, known] if known.any() else proxy[on_front])
    came: dict[str, Any] = {
        "proxy": proxy,
        "gold": gold,
        "gold_se": _standard_error(now.gold, now.base),
        "on_front": on_front,
    }
    if not known.any():
        return Outcome(**came, gaps=[None] * len(known))
    gaps = [interval(gap(now, here, k)) if has else None for k, has in enumerate(known.tolist())]
    volume_now, gap_now = volume(now, here), size(now, here)
    gain = widened = None
    if last is not None:
        volume_last, gap_last = volume(last, before), size(last, before)
        gain = interval(lambda t: volume_now(t) - volume_last(t))
        widened = interval(lambda t: gap_now(t) - gap_last(t))
    return Outcome(
        **came, gaps=gaps, hypervolume=interval(volume_now), gap=interval(gap_now), gain=gain, widened=widened
    )


def agreement(proxy: Floats, gold: Floats, *, resamples: int, confidence: float, seed: int) -> Interval | None:
    """How often the proxy orders two completions of the same prompt as gold does.

    Args:
        proxy: (q, c) of c completions of each of q prompts, more is better.
        gold: (q, c); NaN where it does not apply.
        resamples: number of bootstrap draws of the prompts.
        confidence: of the interval.
        seed: of the draws.

    Returns:
        Share of the pairs that gold does not call equal; equal proxies count half. ``None`` where there are no pairs.
    """
    first, second = np.triu_indices(proxy.shape[1], 1)
    order = np.sign(gold[:, first] - gold[:, second])
    decided = np.nan_to_num(order) != 0
    right = np.where(decided, (1 + np.sign(proxy[:, first] - proxy[:, second]) * order) / 2, 0.0).sum(axis=1)
    of = decided.sum(axis=1).astype(float)
    right, of = right[of > 0], of[of > 0]
    if not len(of):
        return None
    counts = np.random.default_rng(seed).multinomial(len(of), np.full(len(of), 1 / len(of)), size=resamples)
    shares = counts @ right / (counts @ of)
    tail = (1 - confidence) / 2
    low, high = np.quantile(shares, [tail, 1 - tail]).tolist()
    value = float(right.sum() / of.sum())
    return Interval(value, min(low, value), max(high, value))


def _half(table: Floats, side: int) -> Floats:
    """The proxy's (0) or gold's (1) columns, (p, 2m) → (p, m)."""
    m = table.shape[1] // 2
    return np.asarray(table[:, side * m : (side + 1) * m])


def _gains(table: Floats, base: int) -> Floats:
    return np.asarray(table - table[base])


def _gaps(table: Floats, part: Measured) -> Floats:
    """(m,) proxy gain minus gold gain, mean over the selected policies; NaN without gold."""
    proxy, gold = (_gains(_half(table, side), part.base) for side in (0, 1))
    return np.asarray((proxy - gold)[part.selected].mean(axis=0))


def _standard_error(table: Floats, base: int) -> Floats:
    """Of the paired difference to the base over prompts, (p, m)."""
    difference = table - table[base]
    count = np.isfinite(difference).sum(axis=1)
    known = np.where(count > 1, count, np.nan)
    squares = np.nansum((difference - (np.nansum(difference, axis=1) / known)[:, None]) ** 2, axis=1)
    return np.asarray(np.sqrt(squares / (known * (known - 1))))
