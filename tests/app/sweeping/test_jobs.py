import os
import signal
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest
from forge import until

from app.sweeping import jobs
from pareto.errors import ParetoError


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a shell script in the place of Python; the processes, their session and their end are real."""

    def put(body: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(path))

    return put


def test_a_command_runs_and_what_it_says_is_kept(tmp_path):
    job = jobs.start(tmp_path / "runs", "list", ["runs", "--root", str(tmp_path)])
    until(lambda: not job.alive, 60)
    assert job.code == 0
    assert job.tail() == f"no runs in {tmp_path}; start one with: pareto sweep sweeps/smoke.yaml"
    assert jobs.find(tmp_path / "runs", "list") == job


def test_a_mistake_is_the_last_line(tmp_path):
    job = jobs.start(tmp_path, "wrong", ["sweep", "nowhere.yaml"])
    until(lambda: not job.alive, 60)
    assert (job.code, job.tail(1)) == (2, "pareto: nowhere.yaml: no such recipe")


def test_it_outlives_the_session_that_started_it(tmp_path, program):
    program("exec sleep 30")
    job = jobs.start(tmp_path, "long", [])
    try:
        assert os.getsid(job.pid) == job.pid != os.getsid(0)
    finally:
        job.stop()
        until(lambda: not job.alive, 60)


def test_the_same_job_does_not_run_twice(tmp_path, program):
    program("exec sleep 30")
    job = jobs.start(tmp_path, "long", ["sweep", "x y.yaml"])
    with pytest.raises(ParetoError, match=f"pareto sweep 'x y.yaml': runs already .process {job.pid}"):
        jobs.start(tmp_path, "long", ["sweep", "x y.yaml"])
    job.stop()
    until(lambda: not job.alive, 60)
    again = jobs.start(tmp_path, "long", [])
    assert again.pid != job.pid
    again.stop()
    until(lambda: not again.alive, 60)


def test_stop_interrupts_like_ctrl_c(tmp_path, program):
    program("trap 'echo interrupted; exit 130' INT; echo ready; while true; do sleep 0.05; done")
    job = jobs.start(tmp_path, "polite", [])
    until(lambda: job.tail(1) == "ready", 60)
    job.stop()
    until(lambda: not job.alive, 60)
    assert (job.code, job.tail(1)) == (130, "interrupted")


def test_what_does_not_listen_is_terminated(tmp_path, program, monkeypatch):
    monkeypatch.setattr(jobs, "PATIENCE", 0.3)
    program("trap 'echo no' INT; echo ready; while true; do sleep 0.05; done")
    job = jobs.start(tmp_path, "stubborn", [])
    until(lambda: job.tail(1) == "ready", 60)
    job.stop()
    until(lambda: job.code is not None, 60)
    assert job.code == -15


def test_a_pid_that_was_given_to_another_process_is_not_the_job(tmp_path):
    mine = psutil.Process()
    other = jobs.Job(str(tmp_path), "old", (), mine.pid, mine.create_time() - 100)
    assert not other.alive
    other.stop()  # and the process that has the pid now lives on
    time.sleep(0.2)
    assert mine.is_running()


def test_control_characters_of_a_log_do_not_reach_the_page(tmp_path, program):
    program(r"printf 'a\033[31mred\033[0m\007\r\nlast'")
    job = jobs.start(tmp_path, "colours", [])
    until(lambda: not job.alive, 60)
    assert job.tail() == "ared\n\nlast"


@pytest.mark.parametrize("name", ["../out", ".hidden", "a/b", ""])
def test_a_name_never_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(ParetoError, match="must be letters"):
        jobs.start(tmp_path, name, ["runs"])


def test_a_damaged_record_is_no_job(tmp_path):
    (tmp_path / jobs.FOLDER).mkdir()
    (tmp_path / jobs.FOLDER / "torn.json").write_text('{"pid": 1')
    assert jobs.find(tmp_path, "torn") is None
    assert jobs.jobs(tmp_path) == []


def test_a_killed_job_says_so_and_keeps_its_last_words(tmp_path, program):
    program("echo half way; exec sleep 30")
    job = jobs.start(tmp_path, "long", [])
    until(lambda: job.tail() == "half way", 60)
    os.kill(job.pid, signal.SIGKILL)
    until(lambda: not job.alive, 60)
    assert (job.code, job.ending()) == (-9, "it ended without finishing (killed by signal 9)")


def test_one_that_another_app_started_was_perhaps_killed(tmp_path):
    job = jobs.Job(str(tmp_path), "old", (), 2**22 + 1, 0.0)
    assert (job.alive, job.code) == (False, None)
    assert job.ending() == "it ended without finishing (killed?)"


def test_a_traceback_is_told_by_its_last_line(tmp_path, program):
    program("printf 'Traceback (most recent call last):\\n  File x\\nMemoryError: too big'; exit 1")
    job = jobs.start(tmp_path, "broken", [])
    until(lambda: not job.alive, 60)
    assert job.ending() == "it ended with an error: MemoryError: too big"
