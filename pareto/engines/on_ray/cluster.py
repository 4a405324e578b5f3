"""Look at a cluster before work is given to it: its nodes, their software, and the folder that they share."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import fsspec
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pareto.engines.on_ray import probe, versions
from pareto.engines.on_ray.connection import joined
from pareto.engines.on_ray.table import name_of
from pareto.errors import ParetoError

PATIENCE = 30.0
"""Seconds in which a node must have answered everything."""
SKEW = 1.0
"""Seconds between clocks that are worth a line."""

for module in (probe, versions):
    ray.cloudpickle.register_pickle_by_value(module)


@dataclass(frozen=True)
class NodeReport:
    """What was seen of a node."""

    name: str
    cpus: float
    gpus: float
    gpu_kind: str
    """As Ray calls it, such as ``H100``; empty where there is none."""
    versions: dict[str, str]
    """Name → version; empty where it did not answer."""
    first_seconds: float | None
    """From giving it the shortest work to its end."""
    skew_seconds: float | None
    """By which its clock is ahead of ours, at least; 0 where they may agree."""
    shares: bool
    """Whether it reads what we write in the folder, and we what it writes."""
    problems: tuple[str, ...]
    """One line each; none: works can be done there."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ClusterReport:
    """What was seen of a cluster."""

    address: str
    folder: str
    """That all nodes are to share."""
    versions: dict[str, str]
    """Ours."""
    nodes: tuple[NodeReport, ...]


def check(address: str, folder: str) -> ClusterReport:
    """Join a cluster and ask every node.

    Args:
        address: see ``RayEngine.connect``.
        folder: an address that fsspec knows, of a folder that is there.

    Raises:
        ParetoError: there is no cluster, or the folder cannot be written here.
    """
    shared = _Folder(folder)
    with shared.shown() as known, joined(address):
        asked = [_Asked(row, folder, known) for row in ray.nodes() if row["Alive"]]
        _hear(asked)
        ours, source = versions.versions(), versions.source()
        return ClusterReport(address, folder, ours, tuple(_report(one, shared, ours, source) for one in asked))


class _Folder:
    """The shared folder, as this machine sees it."""

    def __init__(self, address: str) -> None:
        self.address = address

    @contextmanager
    def shown(self) -> Iterator[str]:
        """The name of a new file in it, for nodes to read."""
        name = f".pareto-check-{secrets.token_hex(4)}"
        try:
            with fsspec.open(f"{self.address}/{name}", "w", auto_mkdir=False) as f:
                f.write(name)
        # Each file system has its own kinds, and one may not be installed.
        except Exception as e:
            said = " ".join(str(e).split())
            raise ParetoError(f"{self.address}: cannot be written from here: {said}") from None
        try:
            yield name
        finally:
            self.remove(name)

    def take(self, name: str) -> bool:
        """Remove a file that a node wrote; returns whether it was there."""
        try:
            with fsspec.open(f"{self.address}/{name}", "r") as f:
                return bool(f.read() == name)
        except Exception:
            return False
        finally:
            self.remove(name)

    def remove(self, name: str) -> None:
        with suppress(Exception):
            system, path = fsspec.core.url_to_fs(f"{self.address}/{name}")
            system.rm(path)


class _Asked:
    """A node and what it was asked."""

    def __init__(self, row: dict[str, Any], folder: str, known: str) -> None:
        self.row = row
        self.own = f"{known}-{row['NodeID'][:6]}"
        there = NodeAffinitySchedulingStrategy(row["NodeID"], soft=False)
        # Also on nodes that are busy.
        options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": there}
        self.began = time.time()
        self.first = ray.remote(**options)(probe.nothing).remote()
        self.look = ray.remote(**options)(probe.look).remote(folder, known, self.own)
        self.ended: dict[Any, float] = {}
        """Reference → when it was answered."""

    def told(self) -> dict[str, Any] | str:
        """What it says, or why it says nothing."""
        if self.look not in self.ended:
            return f"did not answer within {PATIENCE:g} s"
        try:
            told: dict[str, Any] = ray.get(self.look, timeout=1)
            return told
        except RayError as e:
            return " ".join(f"cannot do a work: {e}".split())[:300]


def _hear(asked: list[_Asked]) -> None:
    """Wait for answers and note when each came."""
    until = time.monotonic() + PATIENCE
    of = {ref: one for one in asked for ref in (one.first, one.look)}
    missing = list(of)
    while missing and (left := until - time.monotonic()) > 0:
        ready, missing = ray.wait(missing, timeout=left)
        for ref in ready:
            of[ref].ended[ref] = time.time()


def _report(one: _Asked, shared: _Folder, ours: dict[str, str], source: str) -> NodeReport:
    name, resources, told = name_of(one.row), one.row["Resources"], one.told()
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    kind = ", ".join(key.partition(":")[2] for key in resources if key.startswith("accelerator_type:"))
    is_back = shared.take(one.own)
    if isinstance(told, str):
        return NodeReport(name, cpus, gpus, kind, {}, None, None, False, (f"node {name} {told}",), ())
    problems = []
    if differs := versions.difference(told["versions"], ours):
        problems.append(f"node {name} is refused: {differs}")
    if told["read"]:
        why = f"what this machine wrote is not there ({told['read']})"
        problems.append(f"node {name}: {shared.address} is not shared: {why}")
    if told["write"]:
        problems.append(f"node {name}: {shared.address} is not writable there ({told['write']})")
    elif not is_back:
        problems.append(f"node {name}: {shared.address} is not shared: what the node wrote is not here")
    shares = not told["read"] and is_back
    # Its clock was read between question and answer.
    ahead, behind = told["time"] - one.ended[one.look], told["time"] - one.began
    skew = ahead if ahead > 0 else min(behind, 0.0)
    warnings = []
    if abs(skew) > SKEW:
        way = "ahead" if skew > 0 else "behind"
        warnings.append(f"node {name}: its clock is at least {abs(skew):.0f} s {way}; nothing depends on clocks")
    if not differs and told["source"] != source:
        warnings.append(f"node {name}: its pareto is of the same version, but its files are not the same as here")
    first = one.ended[one.first] - one.began if one.first in one.ended else None
    return NodeReport(name, cpus, gpus, kind, told["versions"], first, skew, shares, tuple(problems), tuple(warnings))
