"""A series of rounds on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pareto.config import Engine, Judge, Labels, Recipe
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe
from pareto.rounds.source import Source
from pareto.rounds.store import Rounds, list_rounds, owner
from pareto.rounds.sweeping import round_recipe
from pareto.store.files import write_json


def recipe(**rounds: Any) -> Recipe:
    smoke = read_recipe("sweeps/smoke.yaml")
    return smoke.model_copy(update={"rounds": smoke.rounds.model_copy(update=rounds)})


def test_a_series_is_found_by_its_name_its_folder_and_its_path(tmp_path):
    made = Rounds.create(tmp_path, recipe())
    assert made.path == tmp_path / "smoke-rounds"
    for name in ("smoke", "smoke-rounds", tmp_path / "smoke-rounds"):
        assert Rounds.open(name, tmp_path) == made
    assert made.recipe == recipe()
    assert list_rounds(tmp_path) == ["smoke"]
    with pytest.raises(ParetoError, match=r"no rounds 'smok'; in .*: smoke"):
        Rounds.open("smok", tmp_path)


def test_more_rounds_may_be_asked_for_later_but_nothing_else(tmp_path):
    Rounds.create(tmp_path, recipe(count=2))
    assert Rounds.create(tmp_path, recipe(count=4, stop_early=False)).recipe.rounds.count == 4
    assert Rounds.open("smoke", tmp_path).recipe.rounds.count == 4
    with pytest.raises(ParetoError, match=r"made by another recipe \(different: rounds.start\); use another `name:`"):
        Rounds.create(tmp_path, recipe(start="last"))
    with pytest.raises(ParetoError, match="different: seed"):
        Rounds.create(tmp_path, recipe().model_copy(update={"seed": 5}))
    assert Rounds.open("smoke", tmp_path).recipe.seed == 0


def test_the_run_of_a_round_belongs_to_its_series(tmp_path):
    made = Rounds.create(tmp_path, recipe())
    assert owner(tmp_path, "smoke-round-2") == "smoke"
    assert owner(tmp_path, "smoke") is None
    assert owner(tmp_path, "other-round-1") is None
    assert Source.find("smoke-round-2", tmp_path).queue.folder == made.queue.folder


def test_others_may_take_over_the_labelling(tmp_path):
    judge = Judge(url="http://localhost:1/v1", model="x")
    Rounds.create(tmp_path, recipe(labels=Labels(annotator="judge", judge=judge)))
    assert Rounds.create(tmp_path, recipe(labels=Labels(annotator="person"))).recipe.rounds.labels.annotator == "person"
    with pytest.raises(ParetoError, match=r"rounds\.labels"):
        Rounds.create(tmp_path, recipe(labels=Labels(annotator="person", budget=7)))


def test_another_engine_may_carry_the_next_round_which_trains_in_as_many_processes(tmp_path):
    made = Rounds.create(tmp_path, recipe())
    assert round_recipe(made, 1).engine.together == 1
    engine = Engine(workers=3, processes=2)
    made = Rounds.create(tmp_path, recipe().model_copy(update={"engine": engine}))
    assert round_recipe(made, 1).engine == engine


def test_a_name_leaves_room_for_the_number_of_a_round(tmp_path):
    with pytest.raises(ParetoError, match="at most 55 characters"):
        Rounds.create(tmp_path, recipe().model_copy(update={"name": "a" * 56}))
    assert Rounds.create(tmp_path, recipe().model_copy(update={"name": "a" * 55})).name == "a" * 55


def test_what_is_no_series_is_left_alone(tmp_path):
    (tmp_path / "smoke-rounds").mkdir()
    (tmp_path / "smoke-rounds" / "mine.txt").write_text("mine")
    with pytest.raises(ParetoError, match="exists and holds no rounds"):
        Rounds.create(tmp_path, recipe())
    assert (tmp_path / "smoke-rounds" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "told"),
    [({"schema": 99}, "upgrade pareto"), ({"name": 3}, "damaged"), ({"recipe": {"name": "x"}}, "no recipe of this")],
)
def test_a_damaged_or_newer_description_is_one_line(tmp_path, change, told):
    path = Rounds.create(tmp_path, recipe()).path / "rounds.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ParetoError, match=told):
        _ = Rounds.open("smoke", tmp_path).recipe


def test_records_come_in_order_and_a_damaged_one_is_named(tmp_path, record):
    series = Rounds.create(tmp_path, recipe())
    assert series.records == []
    for number in range(1, 12):
        write_json(series.record_path(number), record(number))
    assert [r["round"] for r in series.records] == list(range(1, 12))
    Path(series.record_path(3)).write_text("{")
    with pytest.raises(ParetoError, match=r"round-3.json"):
        _ = series.records
    write_json(series.record_path(3), record(4))
    with pytest.raises(ParetoError, match="not the record of round 3"):
        _ = series.records
