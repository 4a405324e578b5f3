"""Measure a soup that somebody asked for, as the sweep measures its own: it becomes a point of the run."""

from __future__ import annotations

from dataclasses import replace

from pareto.campaign import Campaign, Policy
from pareto.errors import ParetoError
from pareto.records import Point, Split
from pareto.store.files import fingerprint
from pareto.store.run import Run
from pareto.watch import Watcher


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
    campaign = Campaign.open(run, watch)
    for name, key in point.adapters.items():
        campaign.join(name, key)
    policy = Policy(point.id, point.kind, point.weights, point.coefficients, point.trial)
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        with campaign.clock.phase(f"measure on {split}"):
            (found,) = campaign.measure([policy], split)
    campaign.report()
    return found
