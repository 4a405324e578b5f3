"""An engine of the slots of a Ray cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self, final

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pareto.engines.on_ray.board import Board
from pareto.engines.on_ray.connection import join, leave
from pareto.engines.on_ray.fleet import AGAIN, Fleet, Host, Needs, Slot
from pareto.engines.on_ray.table import Table
from pareto.engines.work import Beat, Ended, Node, Work, as_text, ended_from, take_longest, work_from
from pareto.errors import ParetoError

START, SETTLE = 60.0, 2.0
"""Seconds in which the first slot must be ready, and more in which the others are waited for."""
LOOK = 0.25
"""Seconds from one look at the board to the next."""
FETCH = 10.0
"""Seconds in which something that is ready must be here."""


@final
class RayEngine:
    """Slots on every node of a cluster, as many as fit, for as long as the node is there.

    What Ray loses is told as lost: its tasks and actors are not tried again by Ray, and none of its objects is kept.
    """

    def __init__(self, address: str, needs: Needs, warm: bool, say: Callable[[str], None]) -> None:
        self._address = address
        self._table = Table(address)
        ours = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=ours)(Board).remote()
        self._fleet = Fleet(needs, warm, self._board, say)
        self._waiting: dict[str, Work] = {}
        self._ended: dict[str, Ended] = {}
        self._reports: dict[int, tuple[int, int, int]] = {}
        """Attempt → done, total and count, as the board had them."""
        self._reading: Any = None
        """Reference to what the board has, on the way."""
        self._read = 0.0
        self._closed = False

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        gpus_per_work: float = 0.0,
        cpus_per_work: float = 1.0,
        warm: bool = True,
        say: Callable[[str], None] = lambda line: None,
    ) -> Self:
        """Become a driver of a cluster; a process is one of one cluster at a time.

        Args:
            address: ``HOST:PORT`` of the head; ``auto``: the cluster that this machine belongs to.
            gpus_per_work: a part of one, or a whole number.
            cpus_per_work: above 0.
            warm: keep a process per slot, for works of less than minutes: what they load is loaded once. Else a slot
                takes something of the cluster only while it works.
            say: told in one line of each node that is refused, as its software is not this machine's.

        Raises:
            ParetoError: there is no cluster, or none of its nodes can do a work.
        """
        if gpus_per_work < 0 or (gpus_per_work > 1 and gpus_per_work != int(gpus_per_work)):
            raise ParetoError(f"{gpus_per_work:g} GPUs per work: must be a part of one, or a whole number")
        if cpus_per_work <= 0:
            raise ParetoError(f"{cpus_per_work:g} CPUs per work: must be above 0")
        join(address)
        try:
            engine = cls(address, Needs(cpus_per_work, gpus_per_work), warm, say)
            engine._settle()
        except BaseException:
            leave()
            raise
        return engine

    def submit(self, work: Work) -> None:
        """See ``Engine.submit``."""
        if work.key in self._waiting or work.key in self._ended or self._slot_of(work.key):
            raise ValueError(f"{work.key} ({work.label}) is here already")
        self._waiting[work.key] = work_from(as_text(work))
        self._start()

    def wait(self, seconds: float) -> list[Ended]:
        """See ``Engine.wait``.

        Raises:
            ParetoError: the cluster does not answer any more.
        """
        until = self.now() + seconds
        self._listen(0)
        while not self._ended and self.now() < until:
            self._listen(until - self.now())
        ended, self._ended = list(self._ended.values()), {}
        return ended

    def cancel(self, key: str) -> None:
        """See ``Engine.cancel``; its slot is free once it answered, and until then its node gets no other work."""
        self._waiting.pop(key, None)
        self._ended.pop(key, None)
        if slot := self._slot_of(key):
            self._fleet.stop(slot)

    def capacity(self) -> int:
        """See ``Engine.capacity``."""
        return sum(slot.free for slot in self._fleet.slots())

    def beats(self) -> Mapping[str, Beat]:
        """See ``Engine.beats``; as the board had them at the last ``wait``."""
        return {
            slot.work.key: Beat(*self._reports.get(slot.attempt, (0, 0, 0)), slot.host.name)
            for slot in self._fleet.slots()
            if slot.work
        }

    def nodes(self) -> list[Node]:
        """See ``Engine.nodes``: those that are or were there; one that is refused has no slots."""
        return self._fleet.nodes()

    def now(self) -> float:
        """See ``Engine.now``."""
        return time.monotonic()

    def close(self) -> None:
        """See ``Engine.close``."""
        if not self._closed:
            self._closed = True
            self._waiting.clear()
            self._table.close()
            leave()

    def _settle(self) -> None:
        """Wait for slots.

        Raises:
            ParetoError: there are none.
        """
        began, first = self.now(), None
        while True:
            self._listen(LOOK)
            hosts = [host for host in self._fleet.hosts.values() if host.alive]
            able = [host for host in hosts if host.room and not host.refusal]
            if not able:
                raise ParetoError(self._why_none(hosts))
            ready = sum(slot.ready for slot in self._fleet.slots())
            first = first or (self.now() if ready else None)
            if ready == sum(host.room for host in able) or (first and self.now() - first > SETTLE):
                return
            if not first and self.now() - began > START:
                raise ParetoError(
                    f"no slot of the cluster at {self._address} answered within {START:g} s: "
                    "its nodes are busy or hang; "
                    f"see `pareto cluster check --address {self._address}`"
                )

    def _why_none(self, hosts: list[Host]) -> str:
        refusals = [host.refusal for host in hosts if host.refusal]
        if refusals:
            return f"no node of the cluster at {self._address} can be used: " + "; ".join(refusals)
        needs = self._fleet.needs
        offered = ", ".join(f"{h.name} ({h.cpus:g} CPUs, {h.gpus:g} GPUs)" for h in hosts) or "none"
        return (
            f"no node of the cluster at {self._address} has {needs.cpus:g} CPUs and {needs.gpus:g} GPUs for a work; "
            f"its nodes: {offered}"
        )

    def _slot_of(self, key: str) -> Slot | None:
        return next((slot for slot in self._fleet.slots() if slot.work and slot.work.key == key), None)

    def _start(self) -> None:
        """Fill the free slots, those of the emptiest node first."""
        while self._waiting and (free := [slot for slot in self._fleet.slots() if slot.free]):
            slot = min(free, key=lambda slot: sum(not other.free for other in slot.host.slots) / slot.host.room)
            self._fleet.start(slot, take_longest(self._waiting), self.now())

    def _listen(self, seconds: float) -> None:
        """Hear what the cluster says, for at most so long until it does."""
        for slot in self._fleet.update(self._table.rows(), self.now()):
            self._lose(slot, "its node left the cluster")
        self._start()
        awaited = self._awaited()
        wait = max(0.0, min(seconds, LOOK))
        if not awaited:
            time.sleep(wait)
            return
        if ray.wait(list(awaited), num_returns=1, timeout=wait)[0]:
            for ref in ray.wait(list(awaited), num_returns=len(awaited), timeout=0)[0]:
                awaited[ref](ref)
        self._start()

    def _awaited(self) -> dict[Any, Callable[[Any], None]]:
        """Reference → what to do when it is ready."""
        awaited: dict[Any, Callable[[Any], None]] = {}
        for host in self._fleet.hosts.values():
            if host.probe is not None:
                awaited[host.probe] = partial(self._heard_probe, host)
            for slot in host.slots:
                refs = {slot.hello: self._heard_hello, slot.life: self._heard_death, slot.ref: self._heard_end}
                awaited |= {ref: partial(heard, slot) for ref, heard in refs.items() if ref is not None}
        under_way = [slot.attempt for slot in self._fleet.slots() if slot.work]
        if self._reading is None and under_way and self.now() - self._read >= LOOK:
            self._reading, self._read = self._board.read.remote(under_way), self.now()
        if self._reading is not None:
            awaited[self._reading] = self._heard_board
        return awaited

    def _heard_probe(self, host: Host, ref: Any) -> None:
        try:
            self._fleet.heard_versions(host, ray.get(ref, timeout=FETCH))
        except RayError:
            host.probe, host.again = None, self.now() + AGAIN

    def _heard_hello(self, slot: Slot, ref: Any) -> None:
        try:
            ray.get(ref, timeout=FETCH)
            slot.hello = None
        except RayError as e:
            slot.host.again = self.now() + AGAIN
            self._lose(slot, _said(e))

    def _heard_death(self, slot: Slot, ref: Any) -> None:
        try:
            ray.get(ref, timeout=FETCH)
        except RayError as e:
            self._lose(slot, _said(e), memory=isinstance(e, OutOfMemoryError))

    def _heard_end(self, slot: Slot, ref: Any) -> None:
        if slot.ref is not ref:
            # Its death was heard together with it.
            return
        try:
            text = ray.get(ref, timeout=FETCH)
        except RayError as e:
            self._lose(slot, _said(e), memory=isinstance(e, OutOfMemoryError))
            return
        if slot.work and text:
            ended = ended_from(text)
            self._ended[ended.key] = replace(ended, node=slot.host.name)
        slot.work = slot.ref = None

    def _heard_board(self, ref: Any) -> None:
        self._reading = None
        try:
            self._reports = ray.get(ref, timeout=FETCH)
        except RayError:
            # It is started again, and works report again.
            self._read = self.now()

    def _lose(self, slot: Slot, error: str, memory: bool = False) -> None:
        """A slot is gone, and what it did."""
        if slot.work:
            self._ended[slot.work.key] = Ended(
                slot.work.key,
                "lost",
                error=error,
                cause="memory" if memory else "",
                node=slot.host.name,
                seconds=self.now() - slot.began,
            )
        self._fleet.drop(slot)


def _said(error: RayError) -> str:
    """One line of what Ray says at length."""
    if isinstance(error, OutOfMemoryError):
        return "Ray ended it, as its node's memory ran out"
    what = error.cause if isinstance(error, RayTaskError) and error.cause else error
    return " ".join(f"{type(what).__name__}: {what}".split())[:200]
