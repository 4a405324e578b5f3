"""What runs on a node: a process of Ray's that has a worker process of the local engine do the works.

So a work is done as it is on one machine, whatever it does to its process, and can be stopped wherever it hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, final

from pareto.engines.local import Local
from pareto.engines.work import as_text, work_from

LOOK, EVERY = 0.1, 1.0
"""Seconds from one look at a work to the next, and between two reports of its progress."""


@final
class Seat:
    """An actor: a slot for one work at a time, which keeps what was imported and loaded from work to work."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._engine = Local(1)
        self._stopped: set[int] = set()

    def greet(self) -> None:
        """Answers once it is ready."""

    def live(self) -> None:
        """Never returns: whoever waits for it hears at once when the actor dies, idle ones too."""
        threading.Event().wait()

    def do(self, attempt: int, work: bytes) -> bytes:
        """See ``do``; for one attempt at a time."""
        return do(self._engine, self._board, attempt, work, lambda: attempt in self._stopped)

    def stop(self, attempt: int) -> None:
        """End an attempt, also one that is still on its way here."""
        self._stopped.add(attempt)


def do_once(board: Any, attempt: int, work: bytes) -> bytes:
    """A task: see ``do``. Nothing is kept for the next work, and nothing held between two."""
    with closing(Local(1)) as engine:
        return do(engine, board, attempt, work, lambda: False)


def do(engine: Local, board: Any, attempt: int, work: bytes, stopped: Callable[[], bool]) -> bytes:
    """Do a work and tell the board of its progress.

    Args:
        engine: of one slot that is free.
        board: handle of a ``Board``.
        attempt: under which to report.
        work: as ``as_text`` writes it.
        stopped: asked from time to time.

    Returns:
        The end, as ``as_text`` writes it; nothing where it was stopped.
    """
    task = work_from(work)
    engine.submit(task)
    count, said = 0, time.monotonic() - EVERY
    while not (ended := engine.wait(LOOK)):
        if stopped():
            engine.cancel(task.key)
            return b""
        beat = engine.beats()[task.key]
        if beat.count != count and time.monotonic() - said >= EVERY:
            count, said = beat.count, time.monotonic()
            board.report.remote(attempt, beat.done, beat.total, count)
    return as_text(ended[0]).encode(errors="surrogatepass")
