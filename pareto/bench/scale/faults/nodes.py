"""A Ray cluster on this machine, whose nodes can be added and killed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


class Cluster:
    """A head without CPUs and nodes with one each.

    Args:
        nodes: to begin with.
        folders: where nodes find packages, beside what is installed.
    """

    address: str
    """Of its head."""

    def __init__(self, nodes: int = 2, folders: Sequence[Path] = ()) -> None:
        from ray.cluster_utils import Cluster

        self._path = [str(folder) for folder in folders]
        # Starting has a limit of 30 s, which a busy machine may exceed once.
        for patient in (True, False):
            try:
                self._cluster = Cluster(
                    initialize_head=True,
                    head_node_args={"num_cpus": 0, "include_dashboard": False, "env_vars": self._environment()},
                )
                break
            except Exception:
                if not patient:
                    raise
        self.address = self._cluster.address
        for _ in range(nodes):
            self.add()

    def add(self, software: Path | None = None, **settings: Any) -> Any:
        """A node, which finds packages in a folder first."""
        settings = {"num_cpus": 1, "env_vars": self._environment(software), **settings}
        with suppress(Exception):
            return self._cluster.add_node(**settings)
        return self._cluster.add_node(**settings)

    def nodes(self) -> list[Any]:
        """Those that can do work."""
        return list(self._cluster.worker_nodes)

    def remove(self, node: Any) -> None:
        """Forget a node that was killed, or end it."""
        if node in self._cluster.list_all_nodes():
            self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End all of it."""
        self._cluster.shutdown()

    def _environment(self, *first: Path | None) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join([*(str(folder) for folder in first if folder), *self._path])}


def family(node: Any) -> list[psutil.Process]:
    """Every process of a node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [raylet, *raylet.children(recursive=True)]
