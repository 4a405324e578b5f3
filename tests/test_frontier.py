"""From hand-made scores to a document worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.frontier import find_point, frontier, select
from pareto.records import Point
from pareto.store.files import to_json, write_json
from pareto.store.points import load_points, save_point
from pareto.store.run import Run
from pareto.store.tables import write_scores
from pareto.tables import front_table

SAMPLES = 2
KINDS = {"base": "base", "expert": "expert", "trial": "trained", "soup": "soup"}


@pytest.fixture
def run(tmp_path):
    """A run whose objective ``speed`` is maximised and ``cost`` minimised, base (10, 5), spread (2, 1)."""
    recipe = Recipe.model_validate(
        {
            "name": "hand",
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [
                {"name": "speed", "reward": "concise"},
                {"name": "cost", "reward": "concise", "direction": "minimize"},
            ],
            "gold": ["fluency"],
            "evaluation": {"samples_per_prompt": SAMPLES, "bootstrap": 200},
        }
    )
    made = Run.create(tmp_path, recipe)
    frame = Frame(("speed", "cost"), (1.0, -1.0), (10.0, 5.0), (2.0, 1.0), (-1.0, -1.0))
    write_json(made.path / "frame.json", frame.to_json())
    return made


def put(run: Run, name: str, split: str, speed, cost, *, fluency: float = -1.0) -> None:
    """Store a point; its scores per prompt are given, every sample of a prompt alike."""
    table = np.array(np.broadcast_arrays(speed, cost, np.zeros(4))[:2], float)
    counts = np.isfinite(table).sum(axis=1)
    means = np.nansum(table, axis=1) / np.where(counts, counts, np.nan)
    kind = KINDS[name.partition("-")[0]]
    objective = name.removeprefix("expert-")
    weights = {"speed": float(objective == "speed"), "cost": float(objective == "cost")}
    point = Point(
        id=name,
        kind=kind,
        split=split,
        weights=None if kind == "base" else weights,
        coefficients={} if kind == "base" else {name: 1.0},
        adapters={} if kind == "base" else {name: "0" * 16},
        mean=dict(zip(("speed", "cost"), means.tolist(), strict=True)),
        se={"speed": 0.0, "cost": 0.0},
        n=dict(zip(("speed", "cost"), counts.tolist(), strict=True)),
        gold={"fluency": fluency},
        kl=0.5,
        scores=f"{name}-{split}",
    )
    save_point(run, point)
    prompts, samples = np.repeat([f"p{i}" for i in range(4)], SAMPLES), np.tile(np.arange(SAMPLES), 4)
    columns = {"speed": np.repeat(table[0], SAMPLES), "cost": np.repeat(table[1], SAMPLES)}
    write_scores(run.scores / f"{point.scores}.parquet", prompts.tolist(), samples, columns)


@pytest.fixture
def full(run):
    """In base deviations, to maximise: experts (2, 1) and (1, 3), a soup (1.5, 2); the lucky expert… see the tests."""
    for split in ("validation", "test"):
        put(run, "base", split, 10, 5)
        put(run, "expert-speed", split, 14, 4)
        put(run, "expert-cost", split, 12, 2)
        put(run, "soup-0", split, 13, 3)
    put(run, "trial-2", "validation", 11, 4.5)
    return run


def rows(run: Run) -> dict[str, dict]:
    return {row["id"]: row for row in frontier(run).document()["points"]}


def test_the_document_is_the_one_worked_out_by_hand(full):
    document = frontier(full).document()
    assert document["run"] == "hand"
    assert document["objectives"] == ["speed", "cost"]
    assert document["reference"] == {"speed": 8.0, "cost": 6.0}
    # Above (−1, −1) the front (1, 3), (1.5, 2), (2, 1) covers 2·4 + 0.5·3 + 0.5·2 and the base 1·1; no noise, no width.
    assert document["hypervolume"] == pytest.approx({"value": 10.5, "low": 10.5, "high": 10.5})
    assert document["base_hypervolume"] == pytest.approx({"value": 1.0, "low": 1.0, "high": 1.0})
    # The ideal point (2, 3) is reached to within (0, 2), (1, 0) or (0.5, 1).
    assert document["igd_plus"]["value"] == pytest.approx(1.0)
    assert document["spacing"]["value"] == pytest.approx(0.0)
    assert document["expert_gains"] == {
        "expert-cost": {"difference": 3.0, "se": 0.0, "prompts": 4},
        "expert-speed": {"difference": 4.0, "se": 0.0, "prompts": 4},
    }
    assert [(r["id"], r["kind"], r["split"], r["on_front"], r["p_nondominated"]) for r in document["points"]] == [
        ("base", "base", "test", False, 0.0),
        ("expert-cost", "expert", "test", True, 1.0),
        ("expert-speed", "expert", "test", True, 1.0),
        ("soup-0", "soup", "test", True, 1.0),
        ("trial-2", "trained", "validation", False, None),
    ]
    assert document["points"][1] == {
        "id": "expert-cost",
        "kind": "expert",
        "weights": {"speed": 0.0, "cost": 1.0},
        "coefficients": {"expert-cost": 1.0},
        "mean": {"speed": 12.0, "cost": 2.0},
        "se": {"speed": 0.0, "cost": 0.0},
        "gold": {"fluency": -1.0},
        "kl": 0.5,
        "p_nondominated": 1.0,
        "on_front": True,
        "split": "test",
    }


def test_the_keys_are_the_documented_ones_and_known_extras(full):
    document = json.loads(to_json(frontier(full).document()))
    documented = {"run", "objectives", "reference", "hypervolume", "points"}
    assert set(document) == documented | {
        "base_hypervolume",
        "igd_plus",
        "expected_utility",
        "spacing",
        "expert_gains",
    }
    assert set(document["hypervolume"]) == {"value", "low", "high"}
    point = {"id", "kind", "weights", "coefficients", "mean", "se", "gold", "kl", "p_nondominated", "on_front", "split"}
    assert all(set(row) == point for row in document["points"])


def test_luck_on_test_does_not_put_a_point_on_the_front(full):
    # Dominated on validation; an expert is measured on test all the same, and there it beats everything.
    put(full, "expert-cost", "validation", 9, 9)
    put(full, "expert-cost", "test", 99, 0)
    found = rows(full)
    assert not found["expert-cost"]["on_front"]
    assert found["expert-speed"]["on_front"]
    assert found["soup-0"]["on_front"]
    # Its luck does not count for the hypervolume either: (1.5, 2) and (2, 1) cover 2.5·3 + 0.5·2.
    assert frontier(full).document()["hypervolume"]["value"] == pytest.approx(8.5)


def test_a_point_that_disappoints_on_test_leaves_the_front(full):
    put(full, "soup-0", "test", 11, 4.5)
    found = rows(full)
    assert not found["soup-0"]["on_front"]
    assert found["soup-0"]["split"] == "test"
    assert frontier(full).document()["hypervolume"]["value"] == pytest.approx(10.0)


def test_errors_and_intervals_come_from_the_spread_over_prompts(full):
    put(full, "soup-0", "test", [11, 13, 13, 15], 3)
    document = frontier(full).document()
    row = next(r for r in document["points"] if r["id"] == "soup-0")
    assert row["mean"]["speed"] == pytest.approx(13)
    assert row["se"]["speed"] == pytest.approx(np.std([11, 13, 13, 15], ddof=1) / 2)
    h = document["hypervolume"]
    assert h["low"] < h["value"] < h["high"]
    assert 0 < row["p_nondominated"] < 1


def test_gains_are_paired_over_prompts(full):
    put(full, "base", "test", [10, 20, 30, 40], 5)
    put(full, "expert-speed", "test", [11, 22, 31, 42], 4)
    gain = frontier(full).document()["expert_gains"]["expert-speed"]
    assert gain["difference"] == pytest.approx(1.5)
    assert gain["se"] == pytest.approx(np.std([1, 2, 1, 2], ddof=1) / 2)


def test_prompts_to_which_an_objective_does_not_apply_are_left_out(full):
    nan = float("nan")
    for name, cost in {"base": 5, "expert-speed": 4, "expert-cost": 2, "soup-0": 3}.items():
        put(full, name, "test", 10, [cost, nan, cost + 1, nan])
    document = frontier(full).document()
    assert {r["id"]: r["mean"]["cost"] for r in document["points"] if r["split"] == "test"} == pytest.approx(
        {"base": 5.5, "expert-speed": 4.5, "expert-cost": 2.5, "soup-0": 3.5}
    )
    assert document["expert_gains"]["expert-cost"]["prompts"] == 2


def test_a_point_without_a_number_is_never_selected(full):
    point = next(p for p in load_points(full) if p.id == "trial-2")
    nan = {"speed": 99.0, "cost": float("nan")}
    save_point(full, Point(**point.__dict__ | {"mean": nan}))
    frame = Frame.from_json(json.loads((full.path / "frame.json").read_text()))
    assert select(full, load_points(full), frame) == ["expert-cost", "expert-speed", "soup-0"]
    row = json.loads(to_json(frontier(full).document()))["points"][-1]
    assert row["mean"] == {"speed": 99.0, "cost": None}


def test_a_run_that_is_not_finished_is_told_so(run, tmp_path):
    def refused(match: str) -> None:
        with pytest.raises(ParetoError, match=match) as e:
            frontier(run)
        assert "\n" not in str(e.value)

    refused("not finished")
    put(run, "base", "validation", 10, 5)
    put(run, "expert-speed", "validation", 14, 4)
    put(run, "expert-cost", "validation", 12, 2)
    refused("not finished")
    put(run, "base", "test", 10, 5)
    refused("not finished")
    put(run, "expert-speed", "test", 14, 4)
    refused("not finished")
    put(run, "expert-cost", "test", 14, 4)
    assert frontier(run).document()["points"]
    (run.points / "expert-cost.validation.json").unlink()
    (run.points / "expert-speed.validation.json").write_text("{}")
    refused("not finished")
    (run.path / "frame.json").unlink()
    refused("no points yet")


def test_a_point_is_found_on_test_where_it_is_measured_there(full):
    put(full, "trial-12", "validation", 11, 4.6)
    assert find_point(full, "soup-0").split == "test"
    assert find_point(full, "trial-2").split == "validation"
    with pytest.raises(ParetoError, match=r"run 'hand' has no point 'soup-1'; did you mean 'soup-0'\?"):
        find_point(full, "soup-1")
    with pytest.raises(ParetoError, match="known: base, expert-cost, expert-speed, soup-0, trial-12, trial-2"):
        find_point(full, "../../etc")


def test_an_empty_run_has_no_point_to_hint_at(run):
    with pytest.raises(ParetoError, match="it is empty"):
        find_point(run, "base")


def test_a_front_that_is_lost_on_test_is_empty(full):
    for name in ("expert-cost", "expert-speed", "soup-0"):
        put(full, name, "test", 10, [float("nan")] * 4)
    document = json.loads(to_json(frontier(full).document()))
    assert document["hypervolume"]["value"] == 0
    assert document["igd_plus"] == {"value": None, "low": None, "high": None}
    assert "hypervolume 0.00" in front_table(frontier(full).document())


def test_the_table_marks_the_front_and_what_is_measured_on_validation_only(full):
    table = front_table(frontier(full).document())
    marked = {line[3:].split("  ")[0]: line[0] for line in table.splitlines()[1:6]}
    assert marked == {
        "expert-cost": "●",
        "expert-speed": "●",
        "soup-0": "●",
        "base": "·",
        "trial-2 (validation)": " ",
    }
    assert "hypervolume 10.50 (10.50 to 10.50); base alone 1.00 (1.00 to 1.00)" in table
    assert "expert-cost against the base on its own objective: +3.000" in table


def test_many_points_measured_on_validation_only_are_counted_in_one_line(full):
    for k in range(5):
        put(full, f"soup-1{k}", "validation", 10.5, 4.8)
    table = front_table(frontier(full).document())
    assert "6 more measured on validation only" in table
    assert "(validation)" not in table
    (full.points / "soup-14.validation.json").unlink()
    table = front_table(frontier(full).document())
    assert "more measured" not in table
    assert table.count("(validation)") == 5
