"""Predictions before and after there is a map, on the finished smoke sweep."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from forge import Forge

from pareto.choice.levels import parse_levels
from pareto.errors import ParetoError
from pareto.soups.frontier_map import FrontierMap
from pareto.soups.outlook import Outlook
from pareto.store.points import load_points
from pareto.store.run import Run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    return Run.open(tmp_path / "smoke")


def test_without_a_map_the_measured_points_predict_and_weights_are_coefficients_by_rule(run: Run) -> None:
    outlook = Outlook.of(run)
    assert (outlook.source, set(outlook.adapters)) == ("points", {"expert-vowels", "expert-digits"})
    found = outlook.at({"vowels": 0.75, "digits": 0.25})
    assert found["coefficients"] == pytest.approx({"expert-vowels": 1.0, "expert-digits": 1 / 3})
    for name in outlook.objectives:
        assert found["low"][name] < found["mean"][name] < found["high"][name]
    with pytest.raises(ParetoError, match="sums to"):
        outlook.at({"vowels": 0.75})


def test_what_was_measured_lies_within_reach(run: Run) -> None:
    outlook = Outlook.of(run)
    low, high = outlook.reach
    for point in load_points(run):
        if point.split == "validation" and point.adapters.keys() <= set(outlook.adapters):
            found = outlook.predict(point.coefficients)
            for name in outlook.objectives:
                assert low[name] - 1e-9 <= found["mean"][name] <= high[name] + 1e-9


def test_with_a_map_it_is_the_map_that_answers_under_the_priorities_asked(forge: Forge, run: Run) -> None:
    made = forge.run("map", run.path, "--evaluations", "3", "--json")
    assert made.code == 0, made.err
    outlook, weights = Outlook.of(run), {"vowels": 0.5, "digits": 0.5}
    assert outlook.source == "map"
    assert outlook.at(weights) == FrontierMap.load(run).at(weights)
    free = outlook.at({"digits": 1.0})
    least = free["mean"]["vowels"] + 1e-4
    held = outlook.under(parse_levels(f"vowels>={least!r}@mean", run.recipe.names)).at({"digits": 1.0})
    assert held["mean"]["vowels"] > free["mean"]["vowels"]


def test_a_run_without_an_expert_for_each_objective_is_told_to_go_on(run: Run) -> None:
    for path in run.points.glob("expert-digits.*"):
        path.unlink()
    with pytest.raises(ParetoError, match="too little is measured"):
        Outlook.of(run)
