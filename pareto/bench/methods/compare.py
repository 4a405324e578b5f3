"""Judge the methods: chosen on validation, measured on test, differences by a bootstrap that all methods share.

A method's front is what nothing of its own dominates on validation. On test, every method meets the same prompts, the
same random numbers and the same bootstrap draws, so a ratio of hypervolumes compares the methods and not their luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.bench.methods.lab import Lab, Method
from pareto.front.dominance import nondominated
from pareto.front.frame import Frame
from pareto.front.indicators import hypervolume
from pareto.front.statistics import Interval, analyse, resample_means

Floats = NDArray[np.float64]
RESAMPLES = 1000


@dataclass(frozen=True)
class Judged:
    """One method on one seed."""

    method: Method
    chosen: list[int]
    """Its entries on its validation front."""
    test: Floats
    """(chosen, prompts, m), in the objectives' own units."""
    kl: Floats
    """(prompts,), KL to the base, nats per token, mean over the chosen; NaN where it was not measured."""


def judge(lab: Lab, method: Method) -> Judged:
    """Measure a method on validation, choose, and measure the chosen on test."""
    frame = lab.bench.frame
    means = np.stack([lab.scores(e.table("validation"))[0].mean(axis=0) for e in method.entries])
    chosen = np.flatnonzero(nondominated(frame.normalise(means))).tolist()
    measured = [lab.scores(method.entries[i].table("test")) for i in chosen]
    kl = np.stack([kl for _, kl in measured]).mean(axis=0)
    return Judged(method, chosen, np.stack([values for values, _ in measured]), kl)


def rows(lab: Lab, judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """One row of results per method, with its bootstrap draws of the hypervolume under ``draws``."""
    frame, seed = lab.bench.frame, lab.bench.recipe.seed
    everything = np.concatenate([frame.normalise(j.test.mean(axis=1)) for j in judged])
    target = everything[nondominated(everything)]
    return [_row(j, frame, target, seed) for j in judged]


def _row(judged: Judged, frame: Frame, target: Floats, seed: int) -> dict[str, Any]:
    found = analyse(judged.test, frame, target=target, resamples=RESAMPLES, seed=seed)
    draws = frame.normalise(resample_means(judged.test, RESAMPLES, seed))
    return {
        "method": judged.method.name,
        "paper": judged.method.paper,
        "steps": judged.method.steps,
        "passes": judged.method.passes,
        "evaluated": len(judged.method.entries),
        "on_front": len(judged.chosen),
        "hypervolume": _numbers(found.hypervolume),
        "igd_plus": _numbers(found.igd_plus),
        "expected_utility": _numbers(found.expected_utility),
        "kl": _numbers(_mean(judged.kl)),
        "front": frame.normalise(found.mean).round(4).tolist(),
        "draws": [hypervolume(draw, frame.reference) for draw in draws],
    }


def ratio(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> Interval:
    """How many times the hypervolume of another method ours is: the mean over seeds, with a 95 % basic interval.

    Args:
        ours: one row per seed.
        theirs: the other method's rows of the same seeds, in the same order.
    """

    def mean(pairs: Sequence[tuple[Floats, Floats]]) -> Floats:
        return np.mean([a / np.maximum(b, 1e-9) for a, b in pairs], axis=0)  # type: ignore[no-any-return]

    value = float(
        np.mean([a["hypervolume"]["value"] / b["hypervolume"]["value"] for a, b in zip(ours, theirs, strict=True)])
    )
    draws = mean([(np.array(a["draws"]), np.array(b["draws"])) for a, b in zip(ours, theirs, strict=True)])
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return Interval(value, min(2 * value - high, value), max(2 * value - low, value))


def _mean(values: Floats) -> Interval:
    """Mean over prompts, plus and minus 1.96 standard errors."""
    kept = values[np.isfinite(values)]
    value, half = float(kept.mean()), 1.96 * float(kept.std(ddof=1)) / len(kept) ** 0.5
    return Interval(value, value - half, value + half)


def _numbers(x: Interval) -> dict[str, float]:
    return {"value": x.value, "low": x.low, "high": x.high}
