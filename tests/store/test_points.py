from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pareto.errors import ParetoError
from pareto.records import Point
from pareto.store.points import damaged_points, load_points, save_point

POINT = Point(
    id="kind-1",
    kind="trained",
    split="test",
    weights={"kind": 0.25, "short": 0.75},
    coefficients={"kind-1": 1.0},
    adapters={"kind-1": "a1"},
    mean={"kind": 0.1, "short": 2.0},
    se={"kind": 0.01, "short": 0.1},
    n={"kind": 9, "short": 10},
    gold={"fluency": -1.5},
    kl=0.02,
    scores="0123456789abcdef",
    trial=3,
)


def test_points_come_back_sorted(run):
    base = replace(POINT, id="base", kind="base", weights=None, coefficients={}, adapters={}, trial=None)
    points = [POINT, replace(POINT, split="validation"), base]
    for point in reversed(points):
        save_point(run, point)
    assert load_points(run) == [base, *points[:2]]
    assert damaged_points(run) == []


def test_missing_numbers_are_null_in_the_file_and_nan_in_memory(run):
    save_point(run, replace(POINT, mean={"kind": math.nan}, kl=math.nan))
    assert '"kl": null' in (run.points / "kind-1.test.json").read_text()
    (point,) = load_points(run)
    assert math.isnan(point.mean["kind"])
    assert math.isnan(point.kl)


@pytest.mark.parametrize(
    "change", [("0.25", "0.26"), ('"seal"', '"deal"'), ("{", ""), ('"point": {', '"point": 1, "p": {')]
)
def test_a_damaged_point_is_left_out_and_named(run, change):
    save_point(run, POINT)
    path = run.points / "kind-1.test.json"
    path.write_text(path.read_text().replace(*change, 1))
    assert load_points(run) == []
    assert damaged_points(run) == [path]
    save_point(run, POINT)
    assert load_points(run) == [POINT]


def test_a_point_saved_again_is_replaced(run):
    save_point(run, POINT)
    save_point(run, replace(POINT, kl=0.5))
    assert [p.kl for p in load_points(run)] == [0.5]


@pytest.mark.parametrize("hostile", ["../x", "a/b", "", ".x", "a\n"])
def test_a_hostile_id_is_refused(run, hostile):
    with pytest.raises(ParetoError, match="point id"):
        save_point(run, replace(POINT, id=hostile))
