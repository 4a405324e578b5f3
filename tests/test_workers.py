"""Several processes on one study: every trial is trained once, and the front is that of one process."""

from __future__ import annotations

import fcntl
import json
import signal
from collections import Counter
from pathlib import Path

import optuna
import pytest
from forge import Command, finished_work, outcome, smoke_recipe, until

SMOKE = "sweeps/smoke.yaml"


def carried(root: Path) -> Counter[int]:
    """Trial → how often the log says that it was carried to its end."""
    events = [json.loads(line) for line in (root / "smoke" / "log.jsonl").read_text().splitlines()]
    return Counter(e["trial"] for e in events if e["event"] == "trial")


def test_two_processes_on_postgresql_train_every_trial_once(forge, finished, postgres_database, tmp_path):
    words = ("sweep", SMOKE, "--storage", postgres_database, "--root", tmp_path, "--json")
    both = [forge.start(*words), forge.start(*words, "--worker")]
    told = [process.wait().json() for process in both]
    # The worker leaves once nothing is left to ask, perhaps while the main process is still at its last trial.
    assert told[0]["trials"] == 4
    assert told[1]["trials"] in (3, 4)
    assert min(t["seconds"]["train"] for t in told) > 0.2, "one of the two had nothing to do"
    assert carried(tmp_path) == {0: 1, 1: 1, 2: 1, 3: 1}
    storage = optuna.storages.RDBStorage(postgres_database.replace("postgresql://", "postgresql+psycopg://"))
    trials = optuna.load_study(study_name="smoke", storage=storage).trials
    storage.engine.dispose()
    assert [t.state.name for t in trials] == ["COMPLETE"] * 4
    assert len({tuple(t.user_attrs["weights"].values()) for t in trials}) == 4
    # One process on SQLite made the same adapters and measured the same front.
    assert outcome(tmp_path) == outcome(finished)
    assert not (tmp_path / "smoke" / "study.db").exists()


def test_a_worker_alone_leaves_the_rest_to_the_main_process(forge, tmp_path):
    recipe = smoke_recipe(tmp_path, training={"steps": 1, "steps_from_soup": 1})
    assert forge.run("sweep", recipe, "--root", tmp_path, "--worker", "--json").json()["trials"] == 4
    made = finished_work(tmp_path)
    assert len([name for name in made if "adapters" in name]) == 4
    assert "not finished" in forge.run("front", "smoke", "--root", tmp_path).line()
    assert forge.run("sweep", recipe, "--root", tmp_path, "--json").json()["trials"] == 4
    assert made.items() <= finished_work(tmp_path).items()
    assert carried(tmp_path) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert outcome(tmp_path)["front"]["points"]


def stop_outside_the_lock(process: Command, run: Path) -> None:
    """Stop a process at a moment when it does not hold the study's lock."""
    with (run / "study.lock").open("ab") as lock:

        def stopped() -> bool:
            process.send(signal.SIGSTOP)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                process.send(signal.SIGCONT)
                return False
            return True

        until(stopped)


def test_the_trial_of_a_worker_that_was_killed_is_carried_on(forge, finished, tmp_path):
    run = tmp_path / "smoke"
    worker = forge.start("sweep", SMOKE, "--root", tmp_path, "--worker")
    until((run / "leases" / "0.lock").exists)
    stop_outside_the_lock(worker, run)
    main = forge.start("sweep", SMOKE, "--root", tmp_path, "--json")
    # The main process trains the other expert and then needs the first for the soup that its next trial starts from.
    until((run / "leases" / "2.lock").exists)
    assert not main.ended()
    worker.send(signal.SIGKILL)
    assert main.wait().json()["trials"] == 4
    assert carried(tmp_path) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert outcome(tmp_path) == outcome(finished)


def test_a_database_that_is_not_there_is_told_in_one_line(forge, tmp_path):
    storage = "postgresql://ann:s3cret@127.0.0.1:1/none"
    said = forge.run("sweep", SMOKE, "--root", tmp_path, "--storage", storage).line()
    assert "postgresql://ann@127.0.0.1:1/none" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("storage", ["mysql://x/y", "study.db"])
def test_another_kind_of_storage_is_refused(forge, tmp_path, storage):
    assert "postgresql://" in forge.run("sweep", SMOKE, "--root", tmp_path, "--storage", storage).line()
