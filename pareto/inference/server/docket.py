"""Priorities that nobody asked for before, judged one after the other: anybody can make up new ones, and each costs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pareto.inference.server.refusals import Refusal

T = TypeVar("T")
WAITING = 4
"""Requests that may be on the docket, the one that is judged included."""
REST = 4.0
"""Seconds of rest after each second of judging while others wait: the model needs the processor too."""


class Docket:
    """A thread for what is new, and few places to wait for it; close it to end the thread."""

    def __init__(self, most: int = WAITING, rest: float = REST) -> None:
        """Start with nothing to do.

        Args:
            most: requests that may be on it.
            rest: see ``REST``.
        """
        self.most, self.rest = most, rest
        self._thread = ThreadPoolExecutor(1, "docket")
        self._free = threading.Semaphore(most)
        self._rested = 0.0
        """When the next one may be judged, by ``time.monotonic``."""
        self._last = 1.0
        self._closing = threading.Event()

    async def judged(self, work: Callable[[], T]) -> T:
        """What the work gives, when it is its turn.

        Raises:
            Refusal: too many wait; and what the work raises.
        """
        if not self._free.acquire(blocking=False):
            raise Refusal(
                429,
                f"pareto.priorities: {self.most} requests with rules that are new to this server wait to be judged; "
                "ask again, or with rules that were asked for before",
                param="pareto.priorities",
                code="busy",
                retry_after=self.most * self._last,
            )
        future = self._thread.submit(self._judge, work)
        # Not when this task ends: whoever is cancelled here may still be judged there.
        future.add_done_callback(lambda _: self._free.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Judge what is on it without a rest, and end the thread."""
        self._closing.set()
        self._thread.shutdown()

    def _judge(self, work: Callable[[], T]) -> T:
        self._closing.wait(max(0.0, self._rested - time.monotonic()))
        began = time.monotonic()
        try:
            return work()
        finally:
            took = time.monotonic() - began
            self._last = took * (1 + self.rest)
            self._rested = began + self._last
