"""Ours: search the coefficients in a box, not on the simplex; then train only where training pays."""

from __future__ import annotations

from pareto.bench.methods.lab import Entry, Lab, Method
from pareto.records import Point

PAPER = "this code"


def searched(lab: Lab) -> Method:
    """The map: the experts and the soups of them that the search looked at, as many as others have policies."""
    return Method("Map (ours)", PAPER, [_entry(lab, p) for p in _looks(lab)], lab.steps * len(lab.experts))


def adaptive(lab: Lab) -> Method:
    """The map, the adapters that the driver ``adaptive`` trained, and the soups with them that it looked at."""
    points = [p for p in lab.points() if p.trial is not None]
    trained = sum(p.kind == "trained" for p in points)
    steps = lab.steps * len(lab.experts) + lab.bench.recipe.training.steps_from_soup * trained
    return Method("Map + adaptive (ours)", PAPER, [_entry(lab, p) for p in points], steps)


def _looks(lab: Lab) -> list[Point]:
    return [p for p in lab.points() if p.trial is not None and p.coefficients.keys() <= set(lab.experts)]


def _entry(lab: Lab, point: Point) -> Entry:
    return lab.soup(None if point.weights is None else list(point.weights.values()), point.coefficients)
