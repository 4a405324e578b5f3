"""Work on served requests that no request waits for: a sampled share of them, a bounded queue, a thread of its own."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pareto.errors import ParetoError

T = TypeVar("T")
DRAIN = 10.0
"""Seconds that closing waits for what waits."""


@dataclass(frozen=True)
class Counted:
    """What became of what was drawn."""

    done: int = 0
    dropped: int = 0
    """More came than could be done."""
    failed: int = 0
    """Something broke meanwhile."""
    reason: str = ""
    """Of the last failure."""
    waiting: int = 0


class Backlog(Generic[T]):
    """What waits for its thread; close it to end the thread."""

    def __init__(
        self,
        work: Callable[[Sequence[T]], None],
        share: float,
        *,
        name: str,
        most: int,
        batch: int = 1,
        first: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the thread.

        Args:
            work: does one or more items at once, in the thread.
            share: of what is offered that is drawn, 0 to 1.
            name: of the share and the thread.
            most: items that may wait.
            batch: items that are done at once, where so many wait.
            first: done in the thread before all else; raises nothing.

        Raises:
            ParetoError: a share that is none.
        """
        if not 0 <= share <= 1:
            raise ParetoError(f"{name} share {share:g}: wanted a share from 0 to 1")
        self._work, self._share, self._most, self._batch, self._first = work, share, most, batch, first
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._done = self._dropped = self._failed = 0
        self._reason = ""
        self._thread = threading.Thread(target=self._run, name=f"{name} backlog", daemon=True)
        self._thread.start()

    @property
    def counted(self) -> Counted:
        """So far."""
        return Counted(self._done, self._dropped, self._failed, self._reason, len(self._waiting))

    def offer(self, id: str, item: T) -> bool:
        """Have an item done, if it is of the share; never waits.

        Which ones are is a hash of the id's: the same whenever it is asked, and those of a smaller share are of every
        larger one too.

        Returns:
            Whether it will be.
        """
        drawn = int.from_bytes(hashlib.sha256(id.encode(errors="replace")).digest()[8:16])
        if drawn >= self._share * 2**64:
            return False
        with self._changed:
            if self._ending:
                return False
            if len(self._waiting) >= self._most:
                self._dropped += 1
                return False
            self._waiting.append(item)
            self._changed.notify()
        return True

    def close(self, drain: float = DRAIN) -> None:
        """End the thread when all that waits is done, or after so many seconds; what is left then is dropped."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(drain)
        with self._changed:
            self._dropped += len(self._waiting)
            self._waiting.clear()
        self._thread.join(drain)

    def _run(self) -> None:
        self._first()
        while taken := self._take():
            try:
                self._work(taken)
                self._done += len(taken)
            except Exception as e:  # whatever breaks these must not end the work on others
                self._failed += len(taken)
                self._reason = " ".join(f"{type(e).__name__}: {e}".split())

    def _take(self) -> list[T]:
        """The next items, once there are some; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            return [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
