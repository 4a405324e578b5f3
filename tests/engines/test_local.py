from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from engines.contract import Isolated, blocked, ends, until, wait_ends
from engines.tasks import work

from pareto.engines import Local, oom


@pytest.fixture(scope="module")
def engine() -> Iterator[Local]:
    """One for all tests: each leaves it without works."""
    with closing(Local(2)) as engine:
        yield engine


class TestContract(Isolated):
    pass


def gone(pid: int, seconds: float = 20) -> bool:
    """Whether a process ends; one that nobody waits for is at an end too."""
    late = time.monotonic() + seconds
    while time.monotonic() < late:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_works_run_side_by_side(engine: Local, tmp_path: Path) -> None:
    blocked(engine, tmp_path, 2)
    (tmp_path / "go").touch()
    assert len({e.told["pid"] for e in wait_ends(engine, 2)} - {os.getpid()}) == 2


def test_closing_twice_is_fine_and_ends_everything() -> None:
    engine = Local(1)
    engine.submit(work("double", n=1))
    engine.close()
    engine.close()
    assert engine.beats() == {}


def test_what_a_task_prints_is_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with closing(Local(1)) as engine:
        ends(engine, work("talk"))
        said = capfd.readouterr()
    assert said.out == ""
    assert {"raw", "to stderr"} <= set(said.err.splitlines())


def test_closing_leaves_no_process_behind(tmp_path: Path) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    engine = Local(2)
    ends(engine, work("leave_child", place={"child": str(tmp_path / "child")}, then="return"))
    blocked(engine, tmp_path, 2)
    engine.close()
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before
    assert gone(int((tmp_path / "child").read_text()))


def test_a_child_of_a_dead_worker_hides_nothing_and_goes_with_it(engine: Local, tmp_path: Path) -> None:
    (ended,) = ends(engine, work("leave_child", place={"child": str(tmp_path / "child")}, then="die"))
    assert (ended.outcome, ended.error) == ("lost", "its process ended: exit code 1")
    assert gone(int((tmp_path / "child").read_text()))


DRIVER = """
import sys, time
from pathlib import Path
from engines.tasks import work
from pareto.engines import Local
engine = Local(3)
folder = Path(sys.argv[1])
place = {"began": str(folder / "hangs")}
engine.submit(work("hang", place=place))
engine.submit(work("leave_child", place={"child": str(folder / "child")}, then="return"))
engine.submit(work("wait_for", place={"began": str(folder / "works"), "go": str(folder / "go")}))
engine.wait(600)
engine.wait(600)
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_workers_end_with_a_killed_parent_whatever_they_do(tmp_path: Path, stopped: bool) -> None:
    path = os.pathsep.join(p for p in sys.path if p)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], env=os.environ | {"PYTHONPATH": path})
    try:
        files = [tmp_path / name for name in ("hangs", "child", "works")]
        late = time.monotonic() + 60
        while not all(f.exists() and f.read_text() for f in files):
            assert time.monotonic() < late
            assert driver.poll() is None
            time.sleep(0.01)
        family = psutil.Process(driver.pid).children(recursive=True)
        assert len(family) == 4
        if stopped:
            os.kill(int((tmp_path / "works").read_text()), signal.SIGSTOP)
    finally:
        driver.kill()
        driver.wait()
    assert [p.pid for p in family if not gone(p.pid)] == []


def test_a_stopped_worker_is_cancelled_and_its_slot_works_on(engine: Local, tmp_path: Path) -> None:
    (one,) = blocked(engine, tmp_path, 1)
    pid = int((tmp_path / "began-0").read_text())
    os.kill(pid, signal.SIGSTOP)
    engine.wait(0.3)
    count = engine.beats()[one.key].count
    engine.wait(0.3)
    assert engine.beats()[one.key].count == count
    engine.cancel(one.key)
    assert gone(pid)
    assert engine.capacity() == 2
    (tmp_path / "go").touch()
    assert ends(engine, one)[0].outcome == "done"


def test_an_idle_worker_that_dies_is_replaced(engine: Local) -> None:
    pids = {ends(engine, work("double", n=n))[0].told["pid"] for n in range(2)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(engine, lambda: all(gone(pid) for pid in pids))
    assert engine.capacity() == 2
    (ended,) = ends(engine, work("double", n=5))
    assert ended.told["double"] == 10
    assert ended.told["pid"] not in pids


def test_an_interrupt_of_the_terminal_is_the_parents(engine: Local, tmp_path: Path) -> None:
    blocked(engine, tmp_path, 1)
    os.kill(int((tmp_path / "began-0").read_text()), signal.SIGINT)
    assert engine.wait(0.3) == []
    (tmp_path / "go").touch()
    assert wait_ends(engine, 1)[0].outcome == "done"


def test_a_parent_that_does_not_listen_stops_no_worker(engine: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.submit(work("report", times=2000, pause=0.0005))
    time.sleep(2)
    assert wait_ends(engine, 1)[0].outcome == "done"


def test_what_the_kernel_killed_for_memory_is_told_as_such(engine: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = iter(range(100))
    monkeypatch.setattr(oom, "kills", lambda: next(kills))
    (ended,) = ends(engine, work("die"))
    assert (ended.outcome, ended.cause) == ("lost", "memory")
    assert ended.error == "its process ended: killed by SIGKILL, there was too little memory"


def test_the_kernels_count_is_read() -> None:
    assert oom.kills() >= 0


@pytest.mark.parametrize(("theirs", "threads"), [(None, str(max(1, len(os.sched_getaffinity(0)) // 2))), ("7", "7")])
def test_cores_are_shared_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, theirs: str | None, threads: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if theirs:
        monkeypatch.setenv("OMP_NUM_THREADS", theirs)
    with closing(Local(2)) as engine:
        assert ends(engine, work("threads"))[0].told == {"OMP_NUM_THREADS": threads}


def test_there_is_at_least_one_worker() -> None:
    with pytest.raises(ValueError, match="workers: 0; there must be at least one"):
        Local(0)
