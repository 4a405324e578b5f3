"""An engine of worker processes on this machine."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from pareto.engines import oom
from pareto.engines.process import Process, said
from pareto.engines.work import Beat, Ended, Node, Work, as_text, ended_from, take_longest, work_from


@dataclass
class _Slot:
    """A place for one work at a time."""

    process: Process | None
    """None once it died: the next work starts another."""
    work: Work | None = None
    """What it does."""
    beat: Beat = Beat(0, 0, 0, "")  # noqa: RUF009 (frozen)
    began: float = 0.0
    """Seconds of the engine's clock."""
    kills: int = 0
    """``oom.kills()`` then."""


@final
class Local:
    """So many worker processes, which keep what they imported from work to work.

    A worker that dies loses its work and is replaced; a work that is cancelled takes its worker with it. The workers
    die with this process, however it ends.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers: {workers}; there must be at least one")
        self._threads = max(1, _cores() // workers)
        self._node = socket.gethostname()
        self._slots = [_Slot(Process(self._threads)) for _ in range(workers)]
        self._waiting: dict[str, Work] = {}
        self._ended: dict[str, Ended] = {}

    def submit(self, work: Work) -> None:
        """See ``Engine.submit``."""
        if work.key in self._waiting or work.key in self._ended or self._slot_of(work.key):
            raise ValueError(f"{work.key} ({work.label}) is here already")
        self._waiting[work.key] = work_from(as_text(work))
        # A worker may have died while it had nothing to do.
        self._listen(0)

    def wait(self, seconds: float) -> list[Ended]:
        """See ``Engine.wait``."""
        until = self.now() + seconds
        self._listen(0)
        while not self._ended and self.now() < until:
            self._listen(until - self.now())
        ended, self._ended = list(self._ended.values()), {}
        return ended

    def cancel(self, key: str) -> None:
        """See ``Engine.cancel``."""
        self._waiting.pop(key, None)
        self._ended.pop(key, None)
        if slot := self._slot_of(key):
            self._kill(slot)
            self._start()

    def capacity(self) -> int:
        """See ``Engine.capacity``."""
        return sum(slot.work is None for slot in self._slots)

    def beats(self) -> Mapping[str, Beat]:
        """See ``Engine.beats``; as they were heard by the last ``wait``."""
        return {slot.work.key: slot.beat for slot in self._slots if slot.work}

    def nodes(self) -> list[Node]:
        """See ``Engine.nodes``: this machine."""
        return [Node(self._node, len(self._slots), len(self._slots) - self.capacity(), alive=True, gpus=0.0)]

    def now(self) -> float:
        """See ``Engine.now``."""
        return time.monotonic()

    def close(self) -> None:
        """See ``Engine.close``."""
        self._waiting.clear()
        for slot in self._slots:
            self._kill(slot)

    def _slot_of(self, key: str) -> _Slot | None:
        return next((slot for slot in self._slots if slot.work and slot.work.key == key), None)

    def _start(self) -> None:
        """Fill the free slots."""
        for slot in self._slots:
            if slot.work is None and self._waiting:
                slot.work = take_longest(self._waiting)
                slot.beat = Beat(0, 0, 0, self._node)
                slot.began, slot.kills = self.now(), oom.kills()
                slot.process = slot.process or Process(self._threads)
                try:
                    slot.process.send(slot.work)
                except OSError:
                    self._lose(slot)

    def _listen(self, seconds: float) -> None:
        """Hear what workers say, for at most so long until the first does."""
        with selectors.DefaultSelector() as selector:
            for slot in self._slots:
                if slot.process:
                    selector.register(slot.process, selectors.EVENT_READ, slot)
            speaking: list[_Slot] = [key.data for key, _ in selector.select(seconds)]
        for slot in speaking:
            try:
                for line in slot.process.hear() if slot.process else []:
                    self._hear(slot, line)
            except EOFError:
                self._lose(slot)
        self._start()

    def _hear(self, slot: _Slot, line: bytes) -> None:
        if line.startswith(b"e"):
            ended = ended_from(line[1:])
            self._ended[ended.key] = ended
            slot.work = None
            return
        _, key, done, total = line.decode().split()
        # A thread that a task left behind may still report.
        if slot.work and slot.work.key == key:
            slot.beat = Beat(int(done), int(total), slot.beat.count + 1, self._node)

    def _lose(self, slot: _Slot) -> None:
        """Its process died."""
        work, seconds = slot.work, self.now() - slot.began
        code = self._kill(slot)
        if work:
            out_of_memory = code == -9 and oom.kills() > slot.kills
            error = f"its process ended: {said(code)}" + (", there was too little memory" if out_of_memory else "")
            self._ended[work.key] = Ended(
                work.key, "lost", {}, error, "memory" if out_of_memory else "", self._node, seconds
            )

    def _kill(self, slot: _Slot) -> int:
        code = slot.process.kill() if slot.process else 0
        slot.process = slot.work = None
        return code


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
