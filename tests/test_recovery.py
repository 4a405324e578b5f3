"""``kill -9`` at any moment, then the same command again: nothing finished is done twice, the front is the same."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from forge import Command, Forge, finished_work, outcome, smoke_recipe, until

from pareto.store.run import Run

pytestmark = pytest.mark.slow
SMOKE = "sweeps/smoke.yaml"


def sweep(forge: Forge, root: Path) -> Command:
    return forge.start("sweep", SMOKE, "--root", root, "--json")


def kill_after(command: Command, cpu: float) -> bool:
    """Kill a process once it has used so many seconds of processor time; False when it had ended before."""
    until(lambda: command.ended() or command.cpu() >= cpu, 600)
    if not command.ended():
        command.send(signal.SIGKILL)
    return command.wait().code == -signal.SIGKILL


@pytest.fixture(scope="module")
def uninterrupted(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, float]:
    """The outcome of a sweep that nobody disturbed, and the processor time that it took."""
    root = tmp_path_factory.mktemp("uninterrupted")
    ended = forge.run("sweep", SMOKE, "--root", root, "--json")
    assert ended.code == 0, ended.err
    return outcome(root), ended.cpu


def killed_and_resumed(forge: Forge, root: Path, moment: float, moment_of_resume: float | None) -> dict:
    """The outcome of a sweep that is killed, perhaps its resume too, and then left alone."""
    while not kill_after(sweep(forge, root), moment):
        # No two sweeps take the same time, and this one was over by then.
        shutil.rmtree(root)
        moment *= 0.9
    done = finished_work(root)
    if moment_of_resume is not None:
        kill_after(sweep(forge, root), moment_of_resume)
        assert done.items() <= finished_work(root).items()
        done = finished_work(root)
    assert sweep(forge, root).wait(600).json()["trials"] == 4
    assert done.items() <= finished_work(root).items()
    events = [json.loads(line) for line in (root / "smoke" / "log.jsonl").read_text().splitlines()]
    assert max(Counter(e["trial"] for e in events if e["event"] == "trial").values()) == 1
    assert "trial failed" not in {e["event"] for e in events}
    assert list((root / "smoke").rglob(".*")) == []  # nothing half-made lies about
    return outcome(root)


def test_ten_kills_and_ten_resumes_end_in_the_uninterrupted_front(forge, uninterrupted, tmp_path):
    expected, whole = uninterrupted
    chance = random.Random(20)
    # One moment in each tenth of the sweep, so that ten of them reach every phase; every other resume is killed too.
    moments = [whole * (k + chance.random()) / 10 for k in range(10)]
    resumes = [(whole - moment) * chance.random() if k % 2 else None for k, moment in enumerate(moments)]
    with ThreadPoolExecutor(2) as two_at_a_time:
        roots = [tmp_path / str(k) for k in range(10)]
        outcomes = two_at_a_time.map(partial(killed_and_resumed, forge), roots, moments, resumes)
    for found in outcomes:
        assert found == expected


def test_the_comparison_tells_another_seed(forge, uninterrupted, tmp_path):
    recipe = smoke_recipe(tmp_path, seed=1)
    forge.run("sweep", recipe, "--root", tmp_path, "--json").json()
    other = outcome(tmp_path)
    assert other["front"]["points"] != uninterrupted[0]["front"]["points"]
    assert other != uninterrupted[0]
    adapters = [
        {w.tobytes() for kept in o["adapters"].values() for w in kept.values()} for o in (other, uninterrupted[0])
    ]
    assert not adapters[0] & adapters[1]


def test_a_finished_sweep_has_nothing_to_do(forge, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    before, work = outcome(tmp_path / "copy"), finished_work(tmp_path / "copy")
    assert len(work) > 20
    assert forge.run("sweep", SMOKE, "--root", tmp_path / "copy", "--json").json()["trials"] == 4
    assert finished_work(tmp_path / "copy") == work
    assert outcome(tmp_path / "copy") == before


def test_a_trial_whose_driver_died_before_it_was_logged_is_logged(forge, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    run = Run.open("smoke", tmp_path / "copy")
    lines = run.log_path.read_text().splitlines(keepends=True)
    lost = next(line for line in lines if json.loads(line).get("trial") == 2)
    run.log_path.write_text("".join(line for line in lines if line != lost) + '{"time": "torn')
    forge.run("sweep", SMOKE, "--root", tmp_path / "copy", "--json").json()
    logged = [event for event in run.events() if event["event"] == "trial"]
    assert sorted(event["trial"] for event in logged) == [0, 1, 2, 3]
    assert logged[-1] | {"time": ""} == json.loads(lost) | {"time": ""}
