"""The frontier map: built on a finished sweep, killed and gone on with, asked, and refused where it cannot answer."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forge import Forge, until
from landscapes import Landscape

from pareto.config import Level
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.inference.policy import weights_point
from pareto.mapping import build_map
from pareto.soups.frontier_map import FrontierMap
from pareto.soups.surrogate import Surrogate
from pareto.store.files import write_json
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.watch import Silent

FRAME = Frame(("kind", "short"), (1.0, -1.0), (10.0, 5.0), (2.0, 0.5), (-1.0, -1.0))


# -- asked, without a model ------------------------------------------------------------------------------------------


@pytest.fixture
def land() -> Landscape:
    return Landscape(2, 0)


@pytest.fixture
def mapped(forged_run, land) -> Run:
    """The forged run with a map whose truth is known; ``short`` is minimised."""
    run, _ = forged_run
    write_json(run.path / "frame.json", FRAME.to_json())
    x = np.vstack([np.eye(2), np.random.default_rng(0).uniform(0, 1.5, (28, 2))])
    FrontierMap(
        frame=FRAME,
        adapters={"expert-short": "b" * 16, "expert-kind": "a" * 16},
        box=(0.0, 1.5),
        max_kl=4.0,
        priorities=(),
        seed=0,
        surrogate=Surrogate.fit(x, land.measure(x), 0),
        kl=Surrogate.fit(x, np.linalg.norm(x, axis=1)[:, None], 0),
    ).save(run, {})
    return run


def test_predictions_are_in_the_objectives_own_units(mapped, land):
    answer = FrontierMap.load(mapped).predict({"expert-kind": 0.4, "expert-short": 1.1})
    truth = land.truth([[1.1, 0.4]])[0]  # the map's order is short, kind
    assert answer["mean"]["kind"] == pytest.approx(10 + 2 * truth[0], abs=0.3)
    assert answer["mean"]["short"] == pytest.approx(5 - 0.5 * truth[1], abs=0.1)
    for name in ("kind", "short"):
        assert answer["low"][name] < answer["mean"][name] < answer["high"][name]
    assert answer["kl"] == pytest.approx(1.1**2 + 0.4**2, rel=0.05)
    assert FrontierMap.load(mapped).predict([1.1, 0.4]) == answer


def test_more_weight_on_an_objective_gives_more_of_it(mapped, land):
    found = FrontierMap.load(mapped)
    answers = [found.at({"kind": w, "short": 1 - w}) for w in (0.0, 0.25, 0.5, 0.75, 1.0)]
    kind = [a["mean"]["kind"] for a in answers]
    assert kind == sorted(kind)
    assert kind[-1] > kind[0] + 1
    assert answers[0]["mean"]["short"] < answers[-1]["mean"]["short"]


def test_the_constraints_are_kept(mapped):
    found = FrontierMap.load(mapped)
    free, near = found.at({"kind": 0.5, "short": 0.5}), replace(found, max_kl=0.5).at({"kind": 0.5, "short": 0.5})
    assert free["kl"] > 0.5
    assert near["kl"] <= 0.5 + 1e-2
    # ``short`` is minimised: its level is the most that is allowed.
    bound = free["mean"]["short"] - 0.2
    kept = replace(found, priorities=(Level(objectives=("short",), at_most=bound, confidence=None),))
    assert kept.at({"kind": 1.0})["mean"]["short"] <= bound + 1e-2
    # On its lower bound the prediction has to lie further inside.
    sure = replace(found, priorities=(Level(objectives=("short",), at_most=bound),)).at({"kind": 1.0})
    assert sure["mean"]["short"] < kept.at({"kind": 1.0})["mean"]["short"]
    assert found.at({"kind": 1.0})["mean"]["short"] > bound


def test_weights_choose_the_maps_soup_where_there_is_a_map(mapped):
    point = weights_point(mapped, (0.5, 0.5))
    assert point.id == "map"
    assert point.coefficients == FrontierMap.load(mapped).at({"kind": 0.5, "short": 0.5})["coefficients"]
    assert set(point.adapters) == set(point.coefficients)
    (mapped.path / "map.json").unlink()
    assert weights_point(mapped, (0.5, 0.5)).id == "soup"


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"kind": 0.7, "short": 0.7}, "sums to 1.4, not 1"),
        ({"kind": 1.5, "short": -0.5}, "short=-0.5 is negative"),
        ({"kind": float("nan"), "short": 1.0}, "not a finite number"),
        ({"sport": 1.0}, "unknown objective 'sport'; did you mean 'short'?"),
    ],
)
def test_weights_outside_the_simplex_are_refused(mapped, weights, match):
    with pytest.raises(ParetoError) as e:
        FrontierMap.load(mapped).at(weights)
    assert match in str(e.value)


@pytest.mark.parametrize(
    ("coefficients", "match"),
    [
        ([1.0], "1 given, the map has 2"),
        ({"expert-kind": float("inf")}, "not a finite number"),
        ({"expert-x": 1.0}, "no adapter 'expert-x'"),
    ],
)
def test_coefficients_that_are_none_are_refused(mapped, coefficients, match):
    with pytest.raises(ParetoError, match=match):
        FrontierMap.load(mapped).predict(coefficients)


def test_a_missing_damaged_or_stale_map_is_told(mapped):
    path = mapped.path / "map.json"
    whole = json.loads(path.read_text())
    stale = json.loads(path.read_text())
    for text in ("{", "[]", json.dumps(whole | {"map": {}}), path.read_text().replace("1.5", "2.5", 1)):
        path.write_text(text)
        with pytest.raises(ParetoError, match=r"map\.json.*") as e:
            FrontierMap.load(mapped)
        assert "\n" not in str(e.value)
    path.unlink()
    with pytest.raises(ParetoError, match="no frontier map yet; make it with: pareto map forged"):
        FrontierMap.load(mapped)
    path.write_text(json.dumps(stale))
    (mapped.points / "expert-kind.validation.json").unlink()
    (mapped.points / "expert-kind.test.json").unlink()
    with pytest.raises(ParetoError, match="'expert-kind' that is not the run's any more"):
        FrontierMap.load(mapped)


# -- built -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def mapped_points(root: Path) -> list[str]:
    points = load_points(Run.open("smoke", root))
    return [p.id for p in points if p.split == "validation" and p.id.startswith("map-")]


def the_map(root: Path) -> dict:
    return json.loads((root / "smoke" / "map.json").read_text())["map"]


def test_a_map_is_built_killed_and_gone_on_with_to_the_same_map(forge: Forge, root: Path, tmp_path: Path):
    other = Path(shutil.copytree(root, tmp_path / "other"))
    told = forge.run("map", "smoke", "--evaluations", "7", "--root", root, "--json")
    report = told.json()
    assert mapped_points(root) == [f"map-{i}" for i in range(7)]
    assert report["evaluations"] == 7
    for split in ("validation", "test"):
        assert report["hypervolume"][split]["after"] >= report["hypervolume"][split]["before"]
    assert len(report["weights"]) == 5
    assert len(report["held_out"]["measured"]) == report["points"]
    # `pareto front` shows what the map found.
    front = forge.run("front", "smoke", "--root", root, "--json").json()
    assert any(p["id"].startswith("map-") for p in front["points"])
    assert json.loads((root / "smoke" / "front.json").read_text()) == front

    for killed_at in (2, 5):  # in the middle of a batch, both
        command = forge.start("map", "smoke", "--evaluations", "7", "--root", other)
        until(lambda: len(mapped_points(other)) >= killed_at)  # noqa: B023
        command.send(9)
        command.wait()
    assert len(mapped_points(other)) < 7 or not (other / "smoke" / "map.json").exists()
    assert forge.run("map", "smoke", "--evaluations", "7", "--root", other, "--json").code == 0
    assert the_map(other) == the_map(root)

    # Asked, it answers without building; the picture is drawn; the table names what a reader needs.
    asked = forge.run("map", "smoke", "--at", "vowels=.5,digits=.5", "--root", root, "--json").json()
    assert asked["coefficients"] == next(w for w in report["weights"] if w["weights"]["vowels"] == 0.5)["coefficients"]
    text = forge.run("map", "smoke", "--evaluations", "7", "--root", root, "--plot", tmp_path / "p.png").out
    assert "intervals cover" in text
    assert "hypervolume on test" in text
    assert (tmp_path / "p.png").stat().st_size > 1000
    refused = forge.run("map", "smoke", "--at", "vowels=.5", "--root", root)
    assert "sums to 0.5, not 1" in refused.line()


def test_no_time_measures_nothing_more_and_held_out_soups_take_no_part(root: Path):
    run = Run.open("smoke", root)
    report = build_map(run, Silent(), evaluations=9, minutes=0)
    assert report["evaluations"] == 0
    assert mapped_points(root) == []
    before = report["points"]
    report = build_map(run, Silent(), evaluations=1, held_out=3)
    assert mapped_points(root) == ["map-0", "map-check-0", "map-check-1", "map-check-2"]
    assert report["points"] == before + 1
    assert report["held_out"]["points"] == 3
    assert report["held_out"]["how"] == "measured for the check alone"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"adapters": ["expert-vowels"]}, "two adapters at least, there are 1"),
        ({"adapters": ["expert-vowels", "expert-vowel"]}, "no 'expert-vowel'; did you mean 'expert-vowels'?"),
        ({"adapters": ["expert-vowels", "expert-vowels"]}, "given twice"),
        ({"box": (1.0, 1.0)}, "lowest coefficient must be below the highest"),
    ],
)
def test_what_cannot_be_mapped_is_told_before_anything_is_loaded(finished: Path, options, match):
    with pytest.raises(ParetoError) as e:
        build_map(Run.open("smoke", finished), Silent(), **options)
    assert match in str(e.value)
