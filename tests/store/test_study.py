"""One contract, kept by SQLite and by a real PostgreSQL server alike."""

from __future__ import annotations

import subprocess
import sys
import uuid

import optuna
import psycopg
import pytest

from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.store.run import Run
from pareto.store.study import StudyStore

NAMES = ("kind", "short")

OPEN = """
import json, os, sys, time
import optuna
from pareto.store.run import Run
from pareto.store.study import StudyStore
print("ready", flush=True)
sys.stdin.readline()
store = StudyStore(Run.open(sys.argv[1]), sys.argv[2] or None, ("kind", "short"))
"""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def recipe(recipe: Recipe) -> Recipe:
    # The tests share a database.
    return recipe.model_copy(update={"name": f"trip-{uuid.uuid4()}"})


@pytest.fixture
def run(tmp_path, recipe: Recipe, url: str | None) -> Run:
    return Run.create(tmp_path / "runs {x} 50%", recipe, url)


@pytest.fixture
def open_store(run, url):
    opened = []

    def open_store(names=NAMES, run=run, url=url):
        opened.append(StudyStore(run, url, names))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def go(*processes):
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def test_the_study_maximises_every_objective_under_its_name(open_store, url, run, recipe):
    with open_store() as store:
        assert store.study.study_name == recipe.name
        assert store.study.directions == [optuna.study.StudyDirection.MAXIMIZE] * 2
        trial = store.study.ask({"w": optuna.distributions.FloatDistribution(0, 1)})
        store.study.tell(trial, [0.5, -2.0])
    with open_store(url=None) as again:  # the run knows where its study is
        assert again.study.metric_names == ["kind", "short"]
        assert [t.values for t in again.study.trials] == [[0.5, -2.0]]
    assert (run.path / "study.db").exists() == (url is None)


def test_attributes_stay_with_the_study(open_store):
    frame = {"reference": [-1.0, 0.5], "names": ["kind", "short"]}
    with open_store() as store:
        assert store.attr("frame") is None
        store.set_attr("frame", frame)
    assert open_store().attr("frame") == frame


def test_a_study_of_another_recipe_is_refused(open_store, run, recipe, tmp_path, url):
    open_store().close()
    other = Run.create(tmp_path / "other", recipe.model_copy(update={"seed": 1}), url)
    if url is None:
        (run.path / "study.db").rename(other.path / "study.db")
    with pytest.raises(ParetoError, match="another recipe; use another `name:`"):
        open_store(run=other)


def test_a_foreign_study_of_that_name_is_refused(open_store, run, url):
    with open_store() as store:
        storage = store.study._storage
        optuna.delete_study(study_name=run.name, storage=storage)
        foreign = optuna.create_study(study_name=run.name, storage=storage)
        foreign.tell(foreign.ask(), 1.0)
    with pytest.raises(ParetoError, match="another recipe"):
        open_store()


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_two_that_start_at_once_make_one_study(request, tmp_path, recipe, start, place):
    url = request.getfixturevalue("postgres_database") if place == "postgres" else None  # without tables yet
    run = Run.create(tmp_path, recipe, url)
    code = """
for _ in range(5):
    trial = store.study.ask({"w": optuna.distributions.FloatDistribution(0, 1)})
    store.study.tell(trial, [trial.params["w"], 1.0])
store.close()
"""
    both = [start(OPEN + code, run.path, url or "") for _ in range(2)]
    go(*both)
    assert [process.wait(timeout=180) for process in both] == [0, 0]
    with StudyStore(run, url, NAMES) as store:
        assert [t.state for t in store.study.trials] == [optuna.trial.TrialState.COMPLETE] * 10


def test_a_password_is_in_no_file_and_no_error(tmp_path, recipe, postgres_database):
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("drop role if exists locked")
        admin.execute("create role locked superuser login password 's3cret/9'")
    right = postgres_database.replace("postgres@", "locked:s3cret%2F9@")
    run = Run.create(tmp_path, recipe, right)
    StudyStore(run, right, NAMES).close()
    for path in run.path.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes()
    place = postgres_database.partition("@")[2]
    for address, wanted in [
        (f"postgresql://locked:wr0ng@{place}", "password authentication failed"),
        (f"postgresql://locked:s3cret%2F9@{place}_missing", "does not exist"),
        (f"postgresql://locked:s3cret%2F9@nowhere.invalid/{place}".replace(place, "lab"), "nowhere.invalid"),
        ("postgresql://locked:s3cret%2F9@127.0.0.1:1/lab", "refused"),
    ]:
        with pytest.raises(ParetoError, match=wanted) as told:
            StudyStore(run, address, NAMES)
        assert "\n" not in str(told.value)
        assert not any(secret in str(told.value) for secret in ("s3cret", "wr0ng"))


def test_a_database_in_which_nothing_may_be_made_is_told(tmp_path, recipe, postgres_database):
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("drop role if exists guest")
        admin.execute("create role guest login")
    run = Run.create(tmp_path, recipe)
    with pytest.raises(ParetoError, match="cannot be used as a study's storage: permission denied") as told:
        StudyStore(run, postgres_database.replace("postgres@", "guest@"), NAMES)
    assert "\n" not in str(told.value)


def test_a_damaged_database_file_is_told(tmp_path, recipe):
    run = Run.create(tmp_path, recipe)
    (run.path / "study.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ParetoError, match=r"study\.db: cannot be used as a study's storage: file is not a database"):
        StudyStore(run, None, NAMES)


def test_opening_a_study_does_not_import_torch(tmp_path, recipe):
    run = Run.create(tmp_path, recipe)
    code = (
        "import sys; from pareto.store.run import Run; from pareto.store.study import StudyStore;"
        "StudyStore(Run.open(sys.argv[1]), None, ('kind', 'short')).close(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, run.path], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert done.stderr == ""
