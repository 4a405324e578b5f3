"""A connection that does not wait for ever: for the head of a request, or for a client that does not read."""

from __future__ import annotations

import asyncio
import math
import resource
import select
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Within which a request begins, from the connection or from the end of the answer before."""
STALLED_SECONDS = 60.0
"""For which a client may not read what it is sent."""
FULL = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LOOKED = 64
"""Connections, idle longest, of which one has to go."""
MOST_FILES = 1 << 16
"""Asked for, where the system lets this process have as many as it likes."""


def files() -> int:
    """How many this process may have open, connections included, once it has asked for all that it can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return most if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True)
class Hall:
    """Where connections wait that have asked for nothing yet."""

    most: int
    """Connections at a time, those included that are being answered."""
    patience: Callable[[int], float] = lambda ahead: 1.0
    """Requests that are being answered → seconds after which one more may come."""
    idle: dict[Connection, None] = field(default_factory=dict)
    """Those that wait, whoever has waited longest first."""

    def make_room(self) -> bool:
        """Send away whoever has been idle longest; whether anybody was.

        Nobody is idle who has said something that is yet to be read: where hundreds come at once, an honest client is
        soon the one who has waited longest.
        """
        first = list(islice(self.idle, LOOKED))
        if not first:
            return False
        poll, at = select.poll(), {c.transport.get_extra_info("socket").fileno(): c for c in first}
        for file in at:
            poll.register(file, select.POLLIN)
        for file, _ in poll.poll(0):
            if len(at) > 1:
                del at[file]
        idle = next(iter(at.values()))
        del self.idle[idle]
        idle.transport.abort()
        return True


class Connection(H11Protocol):
    """uvicorn's own, with its patience bounded."""

    def __init__(self, hall: Hall, **uvicorn: Any) -> None:
        """Begin.

        Args:
            hall: of the server. Where it is full whoever has been idle longest has to go; where nobody is, whoever
                comes is told so and closed.
            uvicorn: what uvicorn gives.
        """
        super().__init__(**uvicorn)
        self.hall = hall
        self._head: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and wait for its first request."""
        super().connection_made(transport)
        if len(self.connections) > self.hall.most and not self.hall.make_room():
            transport.write(FULL.format(math.ceil(self.hall.patience(self.hall.most))).encode())
            transport.close()
            return
        self._await_head()

    def handle_events(self) -> None:
        """Read what has come; with the head of a request it is idle no more."""
        super().handle_events()
        if self._busy:
            self.hall.idle.pop(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self.hall.idle.pop(self, None)
        for timer in (self._head, self._stalled):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._await_head()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Its client does not read."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._stalled:
            self._stalled.cancel()
        super().resume_writing()

    def _await_head(self) -> None:
        if self._head:
            self._head.cancel()
        if self.transport.is_closing():
            return
        self._head = self.loop.call_later(HEAD_SECONDS, self._late)
        self.hall.idle[self] = None

    def _late(self) -> None:
        if not self._busy:
            self.transport.close()

    @property
    def _busy(self) -> bool:
        """It is being answered."""
        return self.cycle is not None and not self.cycle.response_complete
