"""What must go: all of one user, or all that is too old, so that nothing of it is left in the file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pareto.errors import ParetoError
from pareto.traffic.records import Counts

if TYPE_CHECKING:
    from pareto.traffic.log import TrafficLog

DAY = 86400.0
HOUR = 3600.0


class Retention:
    """Forgets what is older than so many days: at once, and then again and again until it is closed."""

    def __init__(
        self,
        log: TrafficLog,
        days: float,
        *,
        every: float = HOUR,
        note: Callable[[str], None] = lambda line: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Begin.

        Args:
            log: which forgets.
            days: for which requests, their scores and their feedback are kept.
            every: seconds between two looks.
            note: told, in a line, what could not be done; it is tried again.
            now: seconds since 1970.
        """
        self._log, self._days, self._every, self._note, self._now = log, days, every, note, now
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic retention", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; what is under way is finished."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._log.expire(self._now() - self._days * DAY)
            except ParetoError as e:
                self._note(str(e))
            if self._stop.wait(self._every):
                return


def forget_user(session: sqlite3.Connection, key: str) -> Counts:
    """Delete what a user asked, what was scored and said of it, and what the user said of others' answers."""
    return _forget(session, "user = ?", key, "user = ?", key)


def forget_before(session: sqlite3.Connection, before: float) -> Counts:
    """Delete requests that came before a time, and what was scored and said of them."""
    return _forget(session, "time < ?", before, "false")


def wiped(session: sqlite3.Connection) -> bool:
    """Whether old pages are gone from the write-ahead file too; not while somebody still reads them."""
    (busy, _, _) = session.execute("pragma wal_checkpoint(truncate)").fetchone()
    return not busy


def _forget(session: sqlite3.Connection, of_served: str, value: Any, of_feedback: str, *values: Any) -> Counts:
    gone = f"(select id from served where {of_served})"
    feedback = session.execute(
        f"delete from feedback where served in {gone} or other in {gone} or {of_feedback}", (value, value, *values)
    ).rowcount
    scores = session.execute(f"delete from scores where id in {gone}", (value,)).rowcount
    requests = session.execute(f"delete from served where {of_served}", (value,)).rowcount
    return Counts(requests, scores, feedback)
