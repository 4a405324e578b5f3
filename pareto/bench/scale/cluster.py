"""Workers that only let time pass, and the clock by which they do."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from pareto.engines.work import Beat, Ended, Node, Work, take_longest


@dataclass(frozen=True)
class Trials:
    """How long trials take, and how they come to grief."""

    median: float = 180.0
    """Seconds; the distribution is log-normal."""
    sigma: float = 0.5
    """Of the logarithm; 0: all take as long."""
    lost: float = 0.0
    """Share whose worker dies, at any time of it."""
    hung: float = 0.0
    """Share that stands still for ever, from any time of it."""
    beat: float = 10.0
    """Seconds from one report of progress to the next."""


@dataclass
class _Running:
    """A work under way."""

    work: Work
    began: float
    ends: float
    """Infinite where it hangs."""
    outcome: str
    stands: float
    """When it reports for the last time."""


@final
class Simulated:
    """An engine in virtual time: ``wait`` jumps to the next end.

    Times are drawn in the order of submission, so that every driver meets the same luck.
    """

    def __init__(self, slots: int, trials: Trials, seed: int, *, count_cpu: bool) -> None:
        """Begin at time 0.

        Args:
            slots: trials at a time.
            trials: how long they take.
            seed: of the times.
            count_cpu: what this thread computes between two waits takes as much virtual time.
        """
        self.busy_seconds = 0.0
        """Of slots, for works that were told as done."""
        self.spans: list[tuple[float, float]] = []
        """Begin and end of every stay in a slot."""
        self.leader_seconds = 0.0
        """That the leading process worked while slots could wait for it."""
        self.slots, self._trials, self._rng, self._count_cpu = slots, trials, np.random.default_rng(seed), count_cpu
        self._time, self._mark = 0.0, time.thread_time()
        self._waiting: dict[str, Work] = {}
        self._running: dict[str, _Running] = {}
        self._ends: list[tuple[float, str]] = []

    def charge(self, seconds: float) -> None:
        """The leading process is busy for so long."""
        self._time += seconds
        self.leader_seconds += seconds

    def submit(self, work: Work) -> None:
        """See ``Engine.submit``."""
        if work.key in self._waiting or work.key in self._running:
            raise ValueError(f"{work.key} ({work.label}) is here already")
        self._count()
        self._waiting[work.key] = work
        self._start()

    def wait(self, seconds: float) -> list[Ended]:
        """See ``Engine.wait``; virtual seconds."""
        self._count()
        while self._ends and not self._stands(*self._ends[0]):
            heapq.heappop(self._ends)
        until = self._time + seconds
        self._time = max(self._time, min(self._ends[0][0] if self._ends else math.inf, until))
        if math.isinf(self._time):
            raise RuntimeError("nothing will ever end")
        found = []
        while self._ends and self._ends[0][0] <= self._time:
            at, key = heapq.heappop(self._ends)
            if self._stands(at, key):
                found.append(self._end(self._running.pop(key), at))
        self._start()
        self._mark = time.thread_time()
        return found

    def cancel(self, key: str) -> None:
        """See ``Engine.cancel``."""
        self._waiting.pop(key, None)
        if gone := self._running.pop(key, None):
            self.spans.append((gone.began, self._time))
        self._start()

    def capacity(self) -> int:
        """See ``Engine.capacity``."""
        return self.slots - len(self._running) - len(self._waiting)

    def beats(self) -> Mapping[str, Beat]:
        """See ``Engine.beats``."""
        return {key: self._beat(running) for key, running in self._running.items()}

    def nodes(self) -> list[Node]:
        """See ``Engine.nodes``."""
        return [Node("simulated", self.slots, len(self._running), alive=True, gpus=0.0)]

    def now(self) -> float:
        """See ``Engine.now``."""
        return self._time

    def close(self) -> None:
        """See ``Engine.close``."""
        self._waiting.clear()
        self._running.clear()

    def _stands(self, at: float, key: str) -> bool:
        """Whether this end is that of a work under way; it may have been cancelled since."""
        return key in self._running and self._running[key].ends == at

    def _count(self) -> None:
        if self._count_cpu:
            now = time.thread_time()
            self.charge(now - self._mark)
            self._mark = now

    def _start(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            work = take_longest(self._waiting)
            seconds = self._trials.median * math.exp(self._trials.sigma * self._rng.standard_normal())
            luck, share = self._rng.uniform(size=2)
            outcome, lasts = "done", seconds
            if luck < self._trials.lost:
                outcome, lasts = "lost", seconds * share
            elif luck < self._trials.lost + self._trials.hung:
                outcome, lasts = "hung", math.inf
            stands = self._time + (seconds * share if outcome == "hung" else lasts)
            self._running[work.key] = _Running(work, self._time, self._time + lasts, outcome, stands)
            if outcome != "hung":
                heapq.heappush(self._ends, (self._time + lasts, work.key))

    def _end(self, running: _Running, at: float) -> Ended:
        self.spans.append((running.began, at))
        seconds = at - running.began
        if running.outcome == "lost":
            return Ended(running.work.key, "lost", {}, "the node is gone", node="simulated", seconds=seconds)
        self.busy_seconds += seconds
        return Ended(running.work.key, "done", {"at": at}, node="simulated", seconds=seconds)

    def _beat(self, running: _Running) -> Beat:
        count = int((min(self._time, running.stands) - running.began) / self._trials.beat)
        return Beat(count, 0, count, "simulated")
