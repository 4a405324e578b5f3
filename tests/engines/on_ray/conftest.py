from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
"""So that nodes know this pareto and ``engines.tasks``."""


class Cluster:
    """A head without CPUs and two nodes with one each, on this machine; nodes can be added and killed."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        # Starting has a limit of 30 s, which a busy machine may exceed once.
        for patient in (True, False):
            try:
                self._cluster = Cluster(
                    initialize_head=True,
                    head_node_args={"num_cpus": 0, "include_dashboard": False, "env_vars": ENVIRONMENT},
                )
                break
            except Exception:
                if not patient:
                    raise
        self.address: str = self._cluster.address
        for _ in range(2):
            self.add()

    def add(self, software: Path | None = None, **settings: Any) -> Any:
        """A node, which finds packages in a folder first."""
        path = os.pathsep.join([*([str(software)] if software else []), ENVIRONMENT["PYTHONPATH"]])
        settings = {"num_cpus": 1, "env_vars": {"PYTHONPATH": path}, **settings}
        with suppress(Exception):
            return self._cluster.add_node(**settings)
        return self._cluster.add_node(**settings)

    def remove(self, node: Any) -> None:
        if node in self._cluster.list_all_nodes():
            self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


def family(node: Any) -> list[psutil.Process]:
    """Every process of a node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [raylet, *raylet.children(recursive=True)]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    assert sys.platform == "linux"
    with closing(Cluster()) as cluster:
        yield cluster
