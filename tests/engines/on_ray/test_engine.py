from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from engines.contract import Isolated, blocked, ends, until, wait_ends
from engines.tasks import work

from pareto.bench.scale.faults.nodes import Cluster, family
from pareto.engines import Engine, Watched, Work
from pareto.engines.on_ray import RayEngine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(cluster: Cluster) -> Iterator[RayEngine]:
    """One for all tests: each leaves it without works."""
    with closing(RayEngine.connect(cluster.address)) as engine:
        until(engine, lambda: engine.capacity() == 2)
        yield engine


@pytest.fixture
def third(cluster: Cluster, engine: RayEngine) -> Iterator[Any]:
    """A third node, which is there for one test, with its slot ready."""
    node = cluster.add()
    try:
        until(engine, lambda: engine.capacity() == 3)
        yield node
    finally:
        cluster.remove(node)


def name(node: Any, engine: Engine) -> str:
    return next(n.name for n in engine.nodes() if n.name.endswith("-" + node.node_id[:6]))


def one_on(node: Any, engine: Engine, folder: Path) -> tuple[Work, Path]:
    """Three works under way on three nodes, of which one ends: the one on this node, and its file ``began``."""
    works = blocked(engine, folder, 3)
    beats = engine.beats()
    (here,) = [one for one in works if beats[one.key].node == name(node, engine)]
    other = next(one for one in works if one is not here)
    engine.cancel(other.key)
    until(engine, lambda: engine.capacity() == 1)
    return here, Path(here.place["began"])


class TestWarm(Isolated):
    pass


def test_a_work_uses_as_many_threads_as_it_has_cpus(engine: RayEngine) -> None:
    (ended,) = ends(engine, Work("engines.on_ray.tasks:surroundings", {}))
    assert ended.told == {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "CUDA_VISIBLE_DEVICES": ""}


def test_a_node_killed_in_mid_work_costs_seconds(third: Any, engine: RayEngine, tmp_path: Path) -> None:
    said: list[str] = []
    watched = Watched(engine, patience=600, on_retry=lambda one, why: said.append(why))
    here, began = one_on(third, watched, tmp_path)
    began.unlink()
    killed = time.monotonic()
    for process in family(third):
        process.kill()
    until(watched, began.exists)
    # Measured 1 to 2 s on an idle machine; this one may be busy.
    assert time.monotonic() - killed < 15
    assert said
    assert f"lost on node {name(third, engine)}: " in said[0]
    (tmp_path / "go").touch()
    told = {e.key: e for e in wait_ends(watched, 2)}
    assert {e.outcome for e in told.values()} == {"done"}
    assert told[here.key].node != name(third, engine)
    assert watched.retries == 1


def test_a_node_that_hangs_loses_its_work_to_another_and_ends_it_for_nobody(
    third: Any, engine: RayEngine, tmp_path: Path
) -> None:
    # On a busy machine the second try may stand still for as long.
    watched = Watched(engine, patience=4, retries=20)
    here, began = one_on(third, watched, tmp_path)
    began.unlink()
    hung = family(third)
    for process in hung:
        process.suspend()
    stopped = time.monotonic()
    until(watched, began.exists)
    assert time.monotonic() - stopped < 4 + 10
    # It gets no work as long as it does not answer.
    assert engine.capacity() == 0
    (tmp_path / "go").touch()
    told = {e.key: e for e in wait_ends(watched, 2)}
    assert told[here.key].outcome == "done"
    assert told[here.key].node != name(third, engine)
    assert engine.capacity() == 2
    for process in hung:
        process.resume()
    until(watched, lambda: engine.capacity() == 3)
    assert watched.wait(0.3) == []
    # An idle node that dies is heard of too.
    for process in family(third):
        process.kill()
    until(engine, lambda: engine.capacity() == 2)
    assert {e.outcome for e in ends(engine, *(work("double", n=n) for n in range(6)))} == {"done"}


def test_a_node_with_other_software_is_refused_when_it_joins(
    cluster: Cluster, engine: RayEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(engine._fleet, "_say", said.append)
    node = cluster.add(software=fake_optuna(tmp_path))
    try:
        until(engine, lambda: said)
        assert said == [f"node {name(node, engine)} is refused: optuna 4.9.9 there, {version('optuna')} here"]
        assert engine.wait(2) == []
        assert engine.capacity() == 2
    finally:
        cluster.remove(node)


def fake_optuna(folder: Path) -> Path:
    """A folder whose packages come before the others': another optuna."""
    (folder / "optuna-4.9.9.dist-info").mkdir()
    (folder / "optuna-4.9.9.dist-info" / "METADATA").write_text("Name: optuna\nVersion: 4.9.9\n")
    return folder
