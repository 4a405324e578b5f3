"""Measure a soup that somebody asked for, as the sweep measures its own: it becomes a point of the run."""

from __future__ import annotations

from dataclasses import replace

from pareto.errors import ParetoError
from pareto.records import Point, Split
from pareto.store.files import fingerprint
from pareto.store.run import Run
from pareto.watch import Watcher
from pareto.workbench import Workbench, adder


def measure_soup(run: Run, point: Point, watch: Watcher) -> Point:
    """Measure on validation and test what is not measured there yet.

    Args:
        run: a run whose base is measured.
        point: from ``asked_point``; one that is measured keeps its id.
        watch: told of the progress.

    Returns:
        The point as measured on test.

    Raises:
        ParetoError: the base model; an adapter that is missing or damaged.
    """
    if not point.coefficients:
        raise ParetoError("these coefficients are all zero: that is the base model, which is measured already")
    if not point.scores:
        point = replace(point, id=f"mix-{fingerprint(point.coefficients)[:8]}")
    bench = Workbench.open(run, watch)
    for name, key in point.adapters.items():
        bench.join(name, key)
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        with bench.clock.phase(f"measure on {split}", bench.rows(split)) as advance:
            found = bench.meter.measure(
                point.id, point.kind, point.weights, point.coefficients, split, point.trial, adder(advance)
            )
    bench.report()
    return found
