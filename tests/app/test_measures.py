"""What the charts compute: against numpy, and against the printed front."""

import shutil

import numpy as np
import pytest

from app.measures import Table, compare, growth
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.frontier import frontier, read_frame
from pareto.records import Point
from pareto.store.points import load_points
from pareto.store.run import Run

FRAME = Frame(("a", "b"), (1.0, 1.0), (0.0, 0.0), (1.0, 1.0), (-1.0, -1.0))


def test_covariances_are_those_of_the_means():
    scores = np.random.default_rng(1).normal(size=(2, 40, 2)) @ np.array([[1, 0.5], [0, 1]])
    found = Table(("x", "y"), scores, FRAME).covariances
    for name, policy in zip(("x", "y"), scores, strict=True):
        assert found[name] == pytest.approx(np.cov(policy.T) / 40)


def test_objectives_of_different_prompts_share_no_error():
    scores = np.random.default_rng(1).normal(size=(1, 40, 2))
    scores[0, :20, 0] = np.nan
    scores[0, 20:, 1] = np.nan
    found = Table(("x",), scores, FRAME).covariances["x"]
    assert found[0, 1] == 0
    assert found[0, 0] == pytest.approx(np.var(scores[0, 20:, 0], ddof=1) / 20)


def test_a_policy_that_is_worse_on_every_prompt_is_never_on_the_front():
    scores = np.random.default_rng(1).normal(size=(2, 30, 2))
    scores[1] = scores[0] - 0.1
    assert Table(("x", "y"), scores, FRAME).front_chances() == {"x": 1.0, "y": 0.0}


def test_differences_to_the_base_are_paired():
    scores = np.random.default_rng(1).normal(size=(2, 30, 2))
    scores[1] = scores[0] + 0.25
    found = Table(("base", "x"), scores, FRAME).differences("x")
    assert found is not None
    assert found["a"] == pytest.approx((0.25, 0.0, 30), abs=1e-9)
    assert Table(("base", "x"), scores, FRAME).differences("nobody") is None


def test_growth_goes_through_every_policy_and_never_shrinks(finished):
    run = Run.open("smoke", finished)
    steps, base = growth(load_points(run), read_frame(run))
    values = [v for _, v in steps]
    assert {name for name, _ in steps} | {"base"} == {
        p.name.split(".")[0] for p in run.points.glob("*.validation.json")
    }
    assert values == sorted(values)
    assert base > 0


def test_the_base_counts_among_no_policies():
    points = [
        Point(name, kind, "validation", None, {}, {}, {"a": a, "b": b}, {}, {}, {}, 0.0, "s")
        for name, kind, a, b in (("soup-0", "soup", 0, 0), ("map-0", "soup", 1, 0), ("base", "base", 1, 1))
    ]
    # Above the reference (-1, -1): squares of 1 x 1, 2 x 1, and the base's own of 2 x 2.
    assert growth(points, FRAME) == ([("soup-0", 1.0), ("map-0", 2.0)], 4.0)
    assert growth(points[2:], FRAME) == ([], 4.0)
    assert growth(points[:1], FRAME) == ([("soup-0", 1.0)], 0.0)


def test_a_run_compared_with_itself_differs_by_nothing(finished, tmp_path):
    run = Run.open("smoke", finished)
    shutil.copytree(run.path, tmp_path / "twin")
    found = compare(run, Run.open(tmp_path / "twin"), read_frame(run))
    printed = frontier(run).document()["hypervolume"]
    assert found.here.value == found.there.value == pytest.approx(printed["value"])
    difference = found.difference
    assert (difference.low, difference.value, difference.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_other_prompts_are_not_compared(finished, tmp_path):
    from pareto.store.tables import read_scores, write_scores

    run = Run.open("smoke", finished)
    shutil.copytree(run.path, tmp_path / "other")
    other = Run.open(tmp_path / "other")
    for point in load_points(other):
        path = other.scores / f"{point.scores}.parquet"
        kept = read_scores(path)
        write_scores(path, [f"other-{i}" for i in kept.prompt_ids], kept.samples, kept.columns)
    with pytest.raises(ParetoError, match="other prompts"):
        compare(run, other, read_frame(run))


def test_an_unfinished_run_is_not_compared(finished, tmp_path):
    run = Run.open("smoke", finished)
    shutil.copytree(run.path, tmp_path / "half")
    for path in (tmp_path / "half" / "points").glob("*.test.json"):
        path.unlink()
    with pytest.raises(ParetoError, match="not measured on test"):
        compare(run, Run.open(tmp_path / "half"), read_frame(run))
