"""What a work needs of a node, and slots that are not kept."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from engines.contract import blocked, ends, until, wait_ends
from engines.tasks import work

from pareto.bench.scale.faults.nodes import Cluster
from pareto.engines import Work
from pareto.engines.on_ray import RayEngine
from pareto.engines.on_ray.fleet import Needs
from pareto.errors import ParetoError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("needs", "resources", "slots"),
    [
        (Needs(1, 0), {"CPU": 4.0}, 4),
        (Needs(1.5, 0), {"CPU": 4.0}, 2),
        (Needs(1, 0), {}, 0),
        (Needs(1, 1), {"CPU": 4.0}, 0),
        (Needs(1, 1), {"CPU": 4.0, "GPU": 2.0}, 2),
        (Needs(3, 1), {"CPU": 4.0, "GPU": 2.0}, 1),
        (Needs(0.1, 0.1), {"CPU": 1.0, "GPU": 0.3}, 3),
        (Needs(1, 4), {"CPU": 64.0, "GPU": 8.0}, 2),
        (Needs(1, 1 / 3), {"CPU": 64.0, "GPU": 1.0}, 3),
    ],
)
def test_a_node_has_as_many_slots_as_fit(needs: Needs, resources: dict[str, float], slots: int) -> None:
    assert needs.slots(resources) == slots


def test_no_node_with_what_a_work_needs_is_one_line(cluster: Cluster) -> None:
    with pytest.raises(
        ParetoError,
        match=r"no node of the cluster at .* has 1 CPUs and 1 GPUs for a work; its nodes: .*\(1 CPUs, 0 GPUs\)",
    ):
        RayEngine.connect(cluster.address, gpus_per_work=1)


def test_works_share_a_gpu_and_see_it(cluster: Cluster) -> None:
    node = cluster.add(num_cpus=2, num_gpus=1)
    try:
        with closing(RayEngine.connect(cluster.address, gpus_per_work=0.5)) as engine:
            until(engine, lambda: engine.capacity() == 2)
            told = ends(engine, *(Work("engines.on_ray.tasks:surroundings", {"n": n}) for n in range(2)))
            assert {e.told["CUDA_VISIBLE_DEVICES"] for e in told} == {"0"}
            assert [n.gpus for n in engine.nodes() if n.slots] == [1.0]
    finally:
        cluster.remove(node)


def test_slots_that_are_not_kept_do_the_same(cluster: Cluster, tmp_path: Path) -> None:
    with closing(RayEngine.connect(cluster.address, warm=False)) as engine:
        until(engine, lambda: engine.capacity() == 2)
        told = ends(engine, work("double", n=4), work("refuse"))
        assert {(e.outcome, e.cause) for e in told} == {("done", ""), ("failed", "user")}
        assert engine.capacity() == 2
        stopped, going = blocked(engine, tmp_path, 2)
        assert {beat.node for beat in engine.beats().values()} == {n.name for n in engine.nodes() if n.slots}
        engine.cancel(stopped.key)
        until(engine, lambda: engine.capacity() == 1)
        (tmp_path / "go").touch()
        assert [(e.key, e.outcome) for e in wait_ends(engine, 1)] == [(going.key, "done")]
