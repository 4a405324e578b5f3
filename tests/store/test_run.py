from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from pareto.config import Training
from pareto.errors import ParetoError
from pareto.records import SCHEMA
from pareto.store.run import Run, list_runs


def test_a_run_holds_its_resolved_recipe(run, recipe):
    assert run.recipe == recipe
    assert Run.open(run.path).recipe == recipe
    tree = json.loads((run.path / "recipe.json").read_text())
    assert tree["training"]["steps"] == Training().steps
    assert run.name == "trip"
    assert run.storage is None
    for folder in (run.rollouts, run.scores, run.adapters, run.points):
        assert folder.is_dir()
        assert folder.parent == run.path


def test_run_json_tells_version_and_time(run):
    info = json.loads((run.path / "run.json").read_text())
    assert info["schema"] == SCHEMA
    assert abs(datetime.now(UTC) - datetime.fromisoformat(info["created"])).total_seconds() < 60


def test_the_same_recipe_reopens_the_run(run, recipe):
    (run.adapters / "kept").mkdir()
    again = Run.create(run.path.parent, recipe)
    assert again == run
    assert again.info == run.info
    assert (run.adapters / "kept").is_dir()


def test_another_recipe_is_refused_with_what_differs(run, recipe):
    other = recipe.model_copy(update={"seed": 7, "training": recipe.training.model_copy(update={"steps": 5})})
    with pytest.raises(ParetoError, match=r"different: seed, training\); use another `name:`"):
        Run.create(run.path.parent, other)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path, recipe):
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip" / "thesis.tex").write_text("keep")
    with pytest.raises(ParetoError, match="is not a run"):
        Run.create(tmp_path, recipe)
    assert os.listdir(tmp_path) == ["trip"]
    assert os.listdir(tmp_path / "trip") == ["thesis.tex"]


def test_workers_that_create_a_run_at_once_get_the_same(tmp_path, recipe):
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: Run.create(tmp_path, recipe), range(16)))
    assert len({(run.path, json.dumps(run.info)) for run in runs}) == 1
    assert os.listdir(tmp_path) == ["trip"]


def test_a_password_is_kept_nowhere_in_the_run(tmp_path, recipe):
    run = Run.create(tmp_path, recipe, "postgresql://ann:s3cret@db:5432/lab")
    assert run.storage == "postgresql://ann@db:5432/lab"
    for path in run.path.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes()
    assert Run.create(tmp_path, recipe).storage == run.storage
    assert Run.create(tmp_path, recipe, "postgresql://ann:changed@db:5432/lab") == run


def test_a_run_does_not_change_its_storage(run, recipe):
    with pytest.raises(ParetoError, match=r"keeps its study in SQLite .* not in postgresql://ann@db/lab") as told:
        Run.create(run.path.parent, recipe, "postgresql://ann:s3cret@db/lab")
    assert "s3cret" not in str(told.value)


def test_open_by_name_and_by_path(run, recipe, tmp_path, monkeypatch):
    root = run.path.parent
    assert Run.open("trip", root) == run
    assert Run.open(str(run.path) + "/", "nowhere") == run
    monkeypatch.chdir(tmp_path)
    assert Run.open("trip") == run
    assert Run.open("runs/trip") == run
    monkeypatch.chdir(root)
    assert Run.open("../runs/trip", "nowhere") == run


def test_a_missing_run_is_told_with_those_that_are_there(run, recipe):
    root = run.path.parent
    Run.create(root, recipe.model_copy(update={"name": "walk"}))
    with pytest.raises(ParetoError, match=r"no run 'trap'; runs in .*: trip, walk"):
        Run.open("trap", root)
    with pytest.raises(ParetoError, match="none"):
        Run.open("trap", root / "nowhere")


@pytest.mark.parametrize("name", ["../secret", "..", ".", "", "trip/../../secret", "/etc"])
def test_a_name_does_not_lead_out_of_the_root(run, name, tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    (tmp_path / "run.json").write_text("{}")  # what `..` under the root would find
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    if name == "..":
        (tmp_path / "run.json").unlink()
    with pytest.raises(ParetoError, match="no run"):
        Run.open(name, run.path.parent)


def edit(run, **changes):
    path = run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_newer_schema_is_refused_in_one_line(run, recipe):
    edit(run, schema=SCHEMA + 1, version="9.9", novelty=1)
    for attempt in (lambda: Run.open(run.path), lambda: Run.create(run.path.parent, recipe)):
        with pytest.raises(ParetoError, match=r"written by pareto 9\.9 .*newer.*upgrade") as told:
            attempt()
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": "one"}', "\x00"])
def test_a_damaged_run_is_told_in_one_line(run, content):
    (run.path / "run.json").write_text(content)
    with pytest.raises(ParetoError, match=r"run\.json.*damaged") as told:
        Run.open(run.path)
    assert "\n" not in str(told.value)


def test_an_edited_recipe_is_found(run):
    path = run.path / "recipe.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ParetoError, match=r"recipe\.json: damaged or edited"):
        _ = Run.open(run.path).recipe


def test_runs_are_listed_with_damaged_and_newer_ones(run, recipe):
    root = run.path.parent
    broken = Run.create(root, recipe.model_copy(update={"name": "a-broken"}))
    newer = Run.create(root, recipe.model_copy(update={"name": "newer"}))
    (broken.path / "run.json").write_text("{")
    edit(newer, schema=SCHEMA + 1)
    (root / ".half.tmp-host-1-0123abcd").mkdir()
    (root / ".half.tmp-host-1-0123abcd" / "run.json").write_text("{}")
    (root / "notes").mkdir()
    assert list_runs(root) == [
        {"name": "a-broken", "created": None, "schema": None},
        {"name": "newer", "created": newer.info["created"], "schema": SCHEMA + 1},
        {"name": "trip", "created": run.info["created"], "schema": SCHEMA},
    ]
    assert list_runs(root / "nowhere") == []


def test_log_lines_of_many_writers_stay_whole(run):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: run.log("step", i=i, text="é\n" * 500), range(200)))
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    assert sorted(line["i"] for line in lines) == list(range(200))
    assert {line["event"] for line in lines} == {"step"}
    assert datetime.fromisoformat(lines[0]["time"]).tzinfo is not None


def test_opening_a_run_imports_nothing_heavy(run):
    code = (
        "import sys; from pareto.store.run import Run; import pareto.store.points; Run.open(sys.argv[1]).recipe;"
        "print({'torch', 'optuna', 'pyarrow', 'numpy', 'psycopg'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, run.path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
