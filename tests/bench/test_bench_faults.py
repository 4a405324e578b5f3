"""Whatever is killed, hung, full or restarted, whenever: nothing acknowledged is lost, nothing is trained twice.

``PARETO_FAULTS=50 PARETO_FAULTS_SEED=7`` tries so many random schedules, from that seed; CI tries ten.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pareto.bench.scale.bench import bench_scale
from pareto.bench.scale.cluster import Trials
from pareto.bench.scale.faults.database import Server
from pareto.bench.scale.faults.disturbed import Disturbed
from pareto.bench.scale.faults.fast import NAME, Order
from pareto.bench.scale.faults.history import History, note
from pareto.bench.scale.faults.recovery import driver_deaths, worker_deaths
from pareto.bench.scale.faults.schedules import FAULTS, Survived, survive
from pareto.errors import ParetoError
from pareto.tables import scale_tables

pytestmark = pytest.mark.slow
SCHEDULES = int(os.environ.get("PARETO_FAULTS", "10"))
SEED = int(os.environ.get("PARETO_FAULTS_SEED", "0"))


def test_random_schedules_of_faults_lose_nothing_and_double_nothing() -> None:
    seeds = range(SEED, SEED + SCHEDULES)
    with ThreadPoolExecutor(2) as two_at_a_time:
        found = two_at_a_time.map(lambda part: survive(seeds[part::2], lambda line: None), range(2))
    survived = [schedule for part in found for schedule in part]
    assert sorted((s.seed, *s.lost, *s.twice, s.left) for s in survived) == [(seed, 0) for seed in seeds]
    assert all(set(s.faults) <= set(FAULTS) for s in survived)
    assert sum(len(s.faults) for s in survived) >= 2 * len(seeds)


def test_a_driver_that_is_killed_at_any_step_costs_nothing() -> None:
    # `pareto bench scale` has it die at all of them.
    deaths = driver_deaths(None, lambda line: None, ["artefact", "told"])
    assert [(d.lost, d.twice, d.left) for d in deaths] == [((), (), 0)] * 3
    assert all(0 < d.seconds < 60 for d in deaths)


def test_a_worker_that_is_killed_goes_on_from_its_checkpoint() -> None:
    (death,) = worker_deaths(None, 1, lambda line: None, steps=150)
    assert (death.behind, death.lost, death.twice, death.left) == (0, (), (), 0)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_of_two_drivers_one_proceeds_also_when_the_database_restarts(server: Server, tmp_path: Path) -> None:
    order = Order(str(tmp_path), server.database("two"), steps=600)
    with Disturbed(tmp_path / "runs", order) as sweep:
        first = sweep.driver
        sweep.reach(1)
        for _ in range(2):
            second = sweep.start()
            sweep.until(lambda: second.poll() is not None)  # noqa: B023 (called at once)
            assert (second.returncode, f"pid {first.pid}) leads study" in sweep.said()) == (1, True)
            server.stop("immediate")
            server.start()
        sweep.driver = first
        sweep.end()
        assert (sweep.history.lost(), sweep.history.twice(), sweep.left()) == ([], [], 0)


def test_a_driver_that_was_stopped_beyond_its_lease_changes_nothing_when_it_wakes(
    server: Server, tmp_path: Path
) -> None:
    # On SQLite one that is stopped in mid-transaction would lock the file.
    order = Order(str(tmp_path), server.database("stopped"), steps=60, ttl=1.0)
    with Disturbed(tmp_path / "runs", order) as sweep:
        sweep.reach(1)
        first = sweep.driver
        first.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        sweep.start()
        sweep.end()
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 1
        assert "leads study" in sweep.said()
        assert sweep.history.lost() == []


# -- the checker itself ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    with Disturbed(folder / "runs", Order(str(folder))) as sweep:
        sweep.end()
    return folder


def _changed(folder: Path, change: str) -> None:
    run = folder / "runs" / NAME
    if change == "artefact gone":
        shutil.rmtree(next((run / "adapters").iterdir()))
    elif change == "artefact damaged":
        (next((run / "adapters").iterdir()) / "adapter").write_bytes(b"0")
    elif change == "trained twice":
        note(folder, "ended", key=next((run / "adapters").iterdir()).name)
    elif change == "study forgot":
        with sqlite3.connect(run / "study.db") as study:
            study.execute("update trials set state = 'RUNNING' where number = 2")
    elif change == "study says something else":
        with sqlite3.connect(run / "study.db") as study:
            study.execute("update trial_values set value = 0.125 where trial_value_id = 1")


@pytest.mark.parametrize(
    ("change", "lost", "twice"),
    [
        ("nothing", 0, 0),
        ("artefact gone", 1, 0),
        ("artefact damaged", 1, 0),
        ("trained twice", 0, 1),
        ("study forgot", 2, 0),
        ("study says something else", 1, 0),
    ],
)
def test_what_was_lost_or_doubled_is_seen(
    undisturbed: Path, tmp_path: Path, change: str, lost: int, twice: int
) -> None:
    shutil.copytree(undisturbed, tmp_path / "copy")
    _changed(tmp_path / "copy", change)
    found = History(tmp_path / "copy", tmp_path / "copy" / "runs" / NAME, None, Order("").trials)
    assert (len(found.lost()), len(found.twice())) == (lost, twice)


def test_the_bench_counts_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Survived(0, ["kill worker"], ["trial 1"], [], 0, 7.0),
        Survived(1, ["full disk"], ["trial 2", "0a"], ["0b"], 1, 8.0),
    ]
    monkeypatch.setattr("pareto.bench.scale.bench.hardware", lambda: "this machine")
    monkeypatch.setattr("pareto.bench.scale.bench.survive", lambda seeds, say: found)
    result = bench_scale(["faults"], None, Trials(), 0, 2, lambda line: None)
    assert result["figures"] == {"schedules": 2, "lost_results": 3, "trained_twice": 1, "not_returned": 1}
    assert "trial 2, 0a" in scale_tables(result)
    with pytest.raises(ParetoError, match="no 'fault'"):
        bench_scale(["fault"], None, Trials(), 0, 2, lambda line: None)
