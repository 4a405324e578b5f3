"""The nodes of a cluster and the slots on them, as the driver sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pareto.engines.on_ray import versions as versions_module
from pareto.engines.on_ray.seat import Seat, do_once
from pareto.engines.on_ray.table import name_of
from pareto.engines.on_ray.versions import difference, versions
from pareto.engines.work import Node, Work, as_text

AGAIN = 5.0
"""Seconds after which a node where something failed to start is tried again."""

# A node with another pareto, or none, is to answer too.
ray.cloudpickle.register_pickle_by_value(versions_module)


@dataclass(frozen=True)
class Needs:
    """What one work takes of a node."""

    cpus: float
    gpus: float

    def slots(self, resources: dict[str, float]) -> int:
        """Works at a time that a node with such resources has room for."""
        rooms = [resources.get("CPU", 0.0) / self.cpus] if self.cpus else []
        rooms += [resources.get("GPU", 0.0) / self.gpus] if self.gpus else []
        # A third of a GPU fits three times.
        return int(min(rooms) + 1e-6)


@dataclass(eq=False)
class Host:
    """A node."""

    id: str
    name: str
    room: int
    """Slots that it offers."""
    cpus: float
    gpus: float
    alive: bool = True
    probe: Any = None
    """Reference to its versions, on the way."""
    accepted: bool = False
    refusal: str = ""
    """What differs; it gets no work."""
    again: float = 0.0
    """When to try again, by the engine's clock."""
    slots: list[Slot] = field(default_factory=list)

    def is_suspect(self) -> bool:
        """Whether a stop was not answered yet: it may hang."""
        return any(slot.stopping for slot in self.slots)


@dataclass(eq=False)
class Slot:
    """A place for one work at a time."""

    host: Host
    actor: Any = None
    """None: each work is a task of its own."""
    hello: Any = None
    """Reference to its first answer, on the way; None once it is ready."""
    life: Any = None
    """Reference that only its death answers."""
    ref: Any = None
    """Reference to the end of what it does; None where it is free."""
    work: Work | None = None
    """What it does; None when it is stopping."""
    attempt: int = 0
    """Counts what was started by this driver."""
    began: float = 0.0
    """Seconds of the engine's clock."""

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop and still does something."""
        return self.ref is not None and self.work is None

    @property
    def free(self) -> bool:
        """Whether a work would start at once."""
        return self.ready and self.ref is None and not self.host.is_suspect()

    @property
    def ready(self) -> bool:
        """Whether it answered, and its node is accepted."""
        return self.hello is None and self.host.accepted


@final
class Fleet:
    """Grows when nodes join and shrinks when they leave.

    Args:
        needs: of one work.
        warm: keep a process per slot, rather than start one per work.
        board: handle of the ``Board``.
        say: told in one line of a node that is refused.
    """

    def __init__(self, needs: Needs, warm: bool, board: Any, say: Callable[[str], None]) -> None:
        self.needs = needs
        self._warm, self._board, self._say = warm, board, say
        self._ours = versions()
        self._attempts = 0
        self.hosts: dict[str, Host] = {}
        """By id."""

    def slots(self) -> list[Slot]:
        """All of them, those that are not ready included."""
        return [slot for host in self.hosts.values() for slot in host.slots]

    def nodes(self) -> list[Node]:
        """See ``Engine.nodes``; the slots are those that are ready."""
        nodes = []
        for host in self.hosts.values():
            ready = [slot for slot in host.slots if slot.ready]
            busy = sum(not slot.free for slot in ready)
            nodes.append(Node(host.name, len(ready), busy, host.alive, host.gpus))
        return nodes

    def update(self, rows: list[dict[str, Any]], now: float) -> list[Slot]:
        """Take over the cluster's table.

        Returns:
            The slots that are gone.
        """
        gone = []
        for row in rows:
            host = self.hosts.get(row["NodeID"])
            if row["Alive"]:
                if host is None:
                    resources = row["Resources"]
                    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
                    host = Host(row["NodeID"], name_of(row), self.needs.slots(resources), cpus, gpus)
                    self.hosts[host.id] = host
                self._grow(host, now)
            elif host and host.alive:
                host.alive = False
                gone += host.slots
        return gone

    def heard_versions(self, host: Host, theirs: dict[str, str]) -> None:
        """Accept a node or refuse it."""
        host.probe = None
        differs = difference(theirs, self._ours)
        host.accepted = not differs
        if differs:
            host.refusal = f"node {host.name} is refused: {differs}"
            self._say(host.refusal)
            for slot in list(host.slots):
                self.drop(slot)

    def start(self, slot: Slot, work: Work, now: float) -> None:
        """Have a free slot do a work."""
        self._attempts += 1
        slot.work, slot.attempt, slot.began = work, self._attempts, now
        text = as_text(work).encode(errors="surrogatepass")
        if slot.actor:
            slot.ref = slot.actor.do.remote(slot.attempt, text)
        else:
            # Ray tries nothing again: a lost work is told, so that whoever counts retries knows of all of them, and
            # tries one that had too little memory with less.
            task = ray.remote(max_retries=0, retry_exceptions=False, **self._where(slot.host))(do_once)
            slot.ref = task.remote(self._board, slot.attempt, text)

    def stop(self, slot: Slot) -> None:
        """End what a slot does; it is free once it answers."""
        slot.work = None
        if slot.actor:
            slot.actor.stop.remote(slot.attempt)
        else:
            ray.cancel(slot.ref, force=True)

    def drop(self, slot: Slot) -> None:
        """End a slot: it died, or its node left."""
        if slot in slot.host.slots:
            slot.host.slots.remove(slot)
        if slot.actor:
            ray.kill(slot.actor)
        elif slot.ref is not None:
            ray.cancel(slot.ref, force=True)
        slot.work = slot.ref = None

    def _grow(self, host: Host, now: float) -> None:
        if now < host.again or host.refusal or host.room == 0:
            return
        if not host.accepted and host.probe is None:
            host.probe = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=_at(host))(versions).remote()
        # Beside the look at its versions: each takes seconds.
        while len(host.slots) < host.room:
            slot = Slot(host)
            host.slots.append(slot)
            if self._warm:
                # Its methods run side by side: one lives, one works, one is told to stop.
                kind = ray.remote(max_restarts=0, max_concurrency=3, **self._where(host))(Seat)
                slot.actor = kind.remote(self._board)
                slot.hello, slot.life = slot.actor.greet.remote(), slot.actor.live.remote()

    def _where(self, host: Host) -> dict[str, Any]:
        # Works are spread by the engine, which knows which nodes are refused and which may hang; Ray's "SPREAD" does
        # not. All that one work takes is on one node, which is what a placement group would be for.
        return {"num_cpus": self.needs.cpus, "num_gpus": self.needs.gpus, "scheduling_strategy": _at(host)}


def _at(host: Host) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(host.id, soft=False)
