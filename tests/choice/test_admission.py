"""Admission of the base, which is no candidate but was measured like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pareto.choice.admission import admit
from pareto.choice.levels import parse_levels
from pareto.frontier import find_point
from pareto.store.points import load_points
from pareto.store.run import Run


@pytest.mark.parametrize(("off", "kept"), [(-1e-6, True), (1e-3, False)])
def test_the_base_is_judged_by_what_was_measured_of_it(finished: Path, off: float, kept: bool) -> None:
    run = Run.open("smoke", finished)
    name = run.recipe.names[0]
    means = [p.mean[name] for p in load_points(run) if p.id == "base"]
    assert len(means) == 2
    limit = (min if kept else max)(means) + off
    found = admit(run, find_point(run, "base"), parse_levels(f"{name}>={limit!r}@mean", run.recipe.names))
    assert (found.measured, found.kept) == (True, kept)
    assert (name in found.reason) != kept
    assert len(found.checks) == 1
    assert found.confirmation is not None
