"""Critical sections, of files and of a real PostgreSQL server alike, and leases of files."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from pathlib import Path

import pytest

from pareto.errors import ParetoError
from pareto.store.leases import FileLeases, PostgresLock

OPEN = """
import os, sys, time
from pathlib import Path
from pareto.store.leases import FileLeases, PostgresLock
where, study = sys.argv[1].split()
leases = PostgresLock(where, study) if "://" in where else FileLeases(Path(where))
"""


@pytest.fixture(params=["files"])
def place(request, tmp_path):
    """Where it is kept, a folder or an address, and its name."""
    where = tmp_path if request.param == "files" else request.getfixturevalue("postgres_url")
    return f"{where} {uuid.uuid4()}"


both = pytest.mark.parametrize("place", ["files", "postgres"], indirect=True)


@pytest.fixture
def open_leases(place):
    opened = []

    def open_leases():
        where, study = place.split()
        opened.append(PostgresLock(where, study) if "://" in where else FileLeases(Path(where)))
        return opened[-1]

    yield open_leases
    for leases in opened:
        if isinstance(leases, FileLeases):
            leases.close()


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_lease_excludes_other_holders_until_it_is_released(open_leases):
    one, two = open_leases(), open_leases()
    assert one.claim(7)
    assert one.claim(7), "claiming what is mine is no change"
    assert not two.claim(7)
    assert two.claim(8)
    assert (one.mine, two.mine) == ({7}, {8})
    one.release(7)
    assert two.claim(7)
    two.close()
    assert one.claim(7)
    assert one.claim(8)


def test_a_killed_holder_loses_its_lease(open_leases, place, start):
    holder = start(OPEN + "print(leases.claim(3), flush=True); time.sleep(600)", place)
    assert holder.stdout.readline() == "True\n"
    mine = open_leases()
    assert not mine.claim(3)
    holder.send_signal(signal.SIGKILL)
    wait_until(lambda: mine.claim(3))


def test_a_forked_child_does_not_keep_the_lease_of_its_killed_parent(open_leases, place, start):
    code = """
leases.claim(3)
child = os.fork()
if child == 0:
    del leases
    time.sleep(600)
print(child, flush=True)
time.sleep(600)
"""
    holder = start(OPEN + code, place)
    child = int(holder.stdout.readline())
    try:
        mine = open_leases()
        assert not mine.claim(3)
        holder.send_signal(signal.SIGKILL)
        wait_until(lambda: mine.claim(3))
        os.kill(child, 0)  # it is still there
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_that_ends_does_not_end_the_lease_of_its_parent(open_leases, place, start):
    code = """
leases.claim(3)
if os.fork() == 0:
    sys.exit()
os.wait()
print(leases.claim(4), flush=True)
time.sleep(600)
"""
    holder = start(OPEN + code, place)
    assert holder.stdout.readline() == "True\n"
    assert not open_leases().claim(3)


COUNT = """
counter = Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    with leases.lock():
        number = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(number + 1))
"""


@both
def test_one_process_at_a_time_is_in_the_critical_section(place, start, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [start(OPEN + COUNT, place, counter) for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(120) for process in processes] == [0, 0]
    assert counter.read_text() == "80"


@both
def test_threads_exclude_each_other_too(open_leases):
    leases, inside, most = open_leases(), [], []

    def work():
        with leases.lock():
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


@both
def test_a_killed_holder_frees_the_critical_section(open_leases, place, start):
    code = "with leases.lock():\n    print('in', flush=True)\n    time.sleep(600)"
    holder = start(OPEN + code, place)
    holder.stdout.readline()
    entered = threading.Event()

    def enter():
        with open_leases().lock():
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.2)
    holder.send_signal(signal.SIGKILL)
    assert entered.wait(60)
    thread.join()


@both
def test_an_error_inside_frees_the_critical_section(open_leases):
    leases = open_leases()
    with pytest.raises(ZeroDivisionError), leases.lock():
        _ = 1 / 0
    with leases.lock():
        pass  # it can be entered again


def test_names_of_one_database_do_not_exclude_each_other(postgres_url):
    with PostgresLock(postgres_url, "one").lock(), PostgresLock(postgres_url, "two").lock():
        pass


def test_a_folder_that_takes_no_files_is_told_in_one_line(tmp_path):
    (tmp_path / "leases").write_text("in the way")
    with pytest.raises(ParetoError, match=r"leases: cannot be written: File exists"):
        FileLeases(tmp_path).claim(0)
    (tmp_path / "study.lock").mkdir()
    with pytest.raises(ParetoError, match=r"study\.lock: cannot be written"), FileLeases(tmp_path).lock():
        pass
