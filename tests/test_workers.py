"""Several workers on one sweep: every trial is carried once, and the front is that of one process."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from pathlib import Path

import optuna
import psutil
import pytest
from forge import Command, outcome, until

pytestmark = pytest.mark.slow
SMOKE = "sweeps/smoke.yaml"


def carried(root: Path) -> Counter[int]:
    """Trial → how often the log says that it was carried to its end."""
    events = [json.loads(line) for line in (root / "smoke" / "log.jsonl").read_text().splitlines()]
    return Counter(e["trial"] for e in events if e["event"] == "trial")


def test_two_workers_and_postgresql_make_what_one_process_and_sqlite_make(forge, finished, postgres_database, tmp_path):
    words = ("--storage", postgres_database, "--workers", "2", "--root", tmp_path, "--json")
    assert forge.run("sweep", SMOKE, *words).json()["trials"] == 4
    assert carried(tmp_path) == {0: 1, 1: 1, 2: 1, 3: 1}
    storage = optuna.storages.RDBStorage(postgres_database.replace("postgresql://", "postgresql+psycopg://"))
    trials = optuna.load_study(study_name="smoke", storage=storage).trials
    storage.engine.dispose()
    assert [t.state.name for t in trials] == ["COMPLETE"] * 4
    assert len({tuple(t.user_attrs["weights"].values()) for t in trials}) == 4
    assert outcome(tmp_path) == outcome(finished)
    assert not (tmp_path / "smoke" / "study.db").exists()
    # The same work has the same name, whoever carried it.
    mine, theirs = ({p.name for p in (root / "smoke").glob("*/*")} for root in (tmp_path, finished))
    assert mine == theirs


def workers_of(command: Command) -> list[psutil.Process]:
    return [p for p in psutil.Process(command.pid).children() if "resource_tracker" not in " ".join(p.cmdline())]


def test_a_driver_that_is_killed_takes_its_workers_along_and_the_next_one_goes_on(forge, finished, tmp_path):
    main = forge.start("sweep", SMOKE, "--workers", "2", "--root", tmp_path, "--json")
    until(lambda: (tmp_path / "smoke" / "frame.json").exists())
    workers = workers_of(main)
    workers[0].send_signal(signal.SIGKILL)  # costs its work in flight
    main.send(signal.SIGKILL)
    main.wait()
    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in workers), 30)
    assert forge.run("sweep", SMOKE, "--workers", "2", "--root", tmp_path, "--json").json()["trials"] == 4
    assert max(carried(tmp_path).values()) == 1
    assert outcome(tmp_path) == outcome(finished)


def test_a_second_driver_of_one_study_is_refused(forge, finished, tmp_path):
    first = forge.start("sweep", SMOKE, "--root", tmp_path, "--json")
    until(lambda: (tmp_path / "smoke" / "frame.json").exists())
    said = forge.run("sweep", SMOKE, "--root", tmp_path).line()
    assert f"pid {first.pid}) leads study 'smoke' since" in said
    assert first.wait().json()["trials"] == 4
    assert outcome(tmp_path) == outcome(finished)


def test_a_finished_sweep_needs_no_model(forge, finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "copy")
    again = forge.run("sweep", SMOKE, "--root", tmp_path / "copy", "--json", PARETO_CACHE=str(tmp_path / "empty"))
    assert again.json()["trials"] == 4
    assert not (tmp_path / "empty").exists()


def test_a_database_that_is_not_there_is_told_in_one_line(forge, tmp_path):
    storage = "postgresql://ann:s3cret@127.0.0.1:1/none"
    said = forge.run("sweep", SMOKE, "--root", tmp_path, "--storage", storage).line()
    assert "postgresql://ann@127.0.0.1:1/none" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("storage", ["mysql://x/y", "study.db"])
def test_another_kind_of_storage_is_refused(forge, tmp_path, storage):
    assert "postgresql://" in forge.run("sweep", SMOKE, "--root", tmp_path, "--storage", storage).line()
