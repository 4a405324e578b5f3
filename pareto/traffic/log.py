"""The log of served traffic: one SQLite file in a run's folder, in write-ahead mode, written by a thread of its own.

What is logged is never waited for and never stops a server: what a full disk or a damaged file refuses is lost,
counted and told. Another process may read, delete or serve at the same time; after ``kill -9`` all that was written is
there.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pareto.errors import ParetoError
from pareto.store.files import to_json
from pareto.store.run import Run
from pareto.traffic.frame import Frame, read_frame
from pareto.traffic.losing import Losing, Note, missed
from pareto.traffic.records import MOST_COMMENT, Counts, Feedback, Losses, ScoredAnswer, Served
from pareto.traffic.retention import forget_before, forget_user, wiped
from pareto.traffic.tables import (
    FILE,
    Unkept,
    Unknown,
    as_text,
    be_patient,
    connect,
    create,
    insert,
    pack,
    select,
    told,
)

__all__ = ["FILE", "Counts", "Feedback", "Frame", "Losses", "ScoredAnswer", "Served", "TrafficLog", "Unkept"]

T = TypeVar("T")
MOST_WAITING = 10_000
"""Records that wait to be written; more are lost."""
VALUES = {"thumb": (1.0, -1.0), "pair": (1.0, 0.5)}


class TrafficLog:
    """The log of one run. Any thread may use it; close it, or leave its ``with``, to have all of it written."""

    def __init__(self, path: Path, *, most_waiting: int = MOST_WAITING, note: Note = lambda line: None) -> None:
        """Open a log that is there. Raises as ``open``.

        Args:
            path: of its file.
            most_waiting: records that may wait to be written.
            note: told, in a line, when records begin to be lost, and when they no longer are.
        """
        self.path = path
        self._session = connect(path)
        self._inode = _inode(path)
        with _explained(path):
            self._salt = str(self._session.execute("select value from meta where name = 'salt'").fetchone()[0])
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="traffic log")
        self._room = threading.BoundedSemaphore(most_waiting)
        self._losing = Losing(path, note)

    @classmethod
    def open(cls, run: Run, *, create: bool = False, note: Note = lambda line: None) -> TrafficLog:
        """A run's log.

        Args:
            run: whose.
            create: begin one where there is none.
            note: see ``TrafficLog``.

        Raises:
            ParetoError: there is none, it is damaged, or a newer version wrote it; a full disk.
        """
        path = run.path / FILE
        if create:
            _create(path)
        return cls(path, note=note)

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._writer.shutdown()
        with suppress(sqlite3.Error):
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def losses(self) -> Losses:
        """What could not be kept since it was opened."""
        return self._losing.losses

    def user_key(self, user: str) -> str:
        """What stands for a user in this log: HMAC-SHA-256 of the id under the log's salt; of '' ''."""
        return user and hmac.new(self._salt.encode(), user.encode(errors="replace"), hashlib.sha256).hexdigest()

    # -- writing -------------------------------------------------------------------------------------------------

    def add(self, served: Served) -> bool:
        """Log a request, without waiting; whether it is on its way. See ``losses`` for what the disk refused."""
        return self._post(lambda session: insert(session, served), served.id)

    def add_score(self, scored: ScoredAnswer) -> bool:
        """Log what rewards say, instead of what they said before; as ``add``. Of a request deleted meanwhile: lost."""

        def job(session: sqlite3.Connection) -> None:
            _known(session, scored.id)
            insert(session, scored, over=True)

        return self._post(job)

    def add_features(self, id: str, features: Sequence[float]) -> bool:
        """Log a prompt's features, as ``add``."""
        return self._post(
            lambda session: session.execute("update served set features = ? where id = ?", (pack(features), id))
        )

    def add_feedback(self, feedback: Feedback) -> None:
        """Log what somebody thinks; waits until it is kept.

        Raises:
            Unkept: the request was answered, but could not be logged; a full disk.
            ParetoError: no such request; a value or comment that is none; a pair of one answer, or of answers to
                different prompts.
        """
        if feedback.value not in VALUES.get(feedback.kind, ()):
            raise ParetoError(f"feedback {feedback.kind} {feedback.value:g}: a thumb is 1 or -1, a pair 1 or 0.5")
        if len(feedback.comment) > MOST_COMMENT:
            raise ParetoError(f"comment of {len(feedback.comment)} characters: at most {MOST_COMMENT}")
        if (feedback.kind == "pair") != bool(feedback.other) or feedback.other == feedback.served:
            raise ParetoError("feedback: a pair needs two different answers, a thumb one")

        def job(session: sqlite3.Connection) -> None:
            self._losing.check(feedback.served, feedback.other)
            asked = _known(session, feedback.served)
            # Where no text is kept, prompts of different length are different all the same.
            if feedback.kind == "pair" and _known(session, feedback.other) != asked:
                raise ParetoError(
                    f"'{feedback.served}' and '{feedback.other}' answer different prompts; only answers to the same "
                    "one can be compared"
                )
            insert(session, feedback)

        self._ask(job)

    def flush(self) -> None:
        """Wait until all that was logged so far is written or lost."""
        self._submit(lambda: None).result()

    def delete_user(self, user: str) -> Counts:
        """Delete what a user (by the id that requests give) asked and said, and what was scored and said of it.

        Raises:
            ParetoError: it is deleted, but another process still reads the old pages of the file; or the file cannot be
                written.
        """
        key = self.user_key(user)
        if not key:
            raise ParetoError("a user's id is wanted, as the requests gave it")
        return self._wipe(lambda session: forget_user(session, key))

    def expire(self, before: float) -> Counts:
        """Delete requests that came before a time, and what was scored and said of them. Raises as ``delete_user``."""
        return self._wipe(lambda session: forget_before(session, before))

    # -- reading -------------------------------------------------------------------------------------------------

    def served(self, since: float = 0, arm: str | None = None, limit: int | None = None) -> list[Served]:
        """Requests in the order of time, without features; ``limit``: the latest so many. Raises ParetoError."""
        where = "time >= ? and (? is null or arm = ?)"
        return self._read(lambda session: select(session, Served, where, since, arm, arm, limit=limit))

    def scores(self, since: float = 0) -> list[ScoredAnswer]:
        """What was scored since a time, in that order. Raises ParetoError."""
        return self._read(lambda session: select(session, ScoredAnswer, "time >= ?", since))

    def feedback(self, since: float = 0) -> list[Feedback]:
        """What was said since a time, in that order. Raises ParetoError."""
        return self._read(lambda session: select(session, Feedback, "time >= ?", since))

    def rated(self) -> dict[str, Served]:
        """The requests that feedback speaks of, by id. Raises ParetoError."""
        where = "id in (select served from feedback union select other from feedback)"
        return self._by_id(where)

    def named(self, ids: Sequence[str]) -> dict[str, Served]:
        """Those of some requests that are there, by id. Raises ParetoError."""
        where = "id in (select value from json_each(?))"
        return self._by_id(where, to_json(ids))

    def stored(self, since: float = 0) -> int:
        """How many requests since a time are kept with their text. Raises ParetoError."""
        where = "time >= ? and (prompt is not null or answer is not null)"
        return self._read(
            lambda session: int(session.execute(f"select count(*) from served where {where}", (since,)).fetchone()[0])
        )

    def missed(self, since: float = 0) -> Losses:
        """What servers could not log, as they told once they could again, since a time. Raises ParetoError."""
        return self._read(lambda session: missed(session, since))

    def frame(self, since: float = 0, *, features: bool = True) -> Frame:
        """Requests as columns; ``features``: those of prompts too, which take most room. Raises ParetoError."""
        return self._read(lambda session: read_frame(session, since, features))

    def _by_id(self, where: str, *values: Any) -> dict[str, Served]:
        return {served.id: served for served in self._read(lambda session: select(session, Served, where, *values))}

    # -- the file ------------------------------------------------------------------------------------------------

    def _post(self, job: Callable[[sqlite3.Connection], Any], request: str = "") -> bool:
        """Have it written when its turn comes; ``request``: id of the one that it is."""
        if not self._room.acquire(blocking=False):
            self._losing.lose(Unkept(self.path, "more was logged than could be written"), request)
            return False
        try:
            self._submit(lambda: self._carry(job)).add_done_callback(partial(self._done, request))
        except ParetoError as e:
            self._room.release()
            self._losing.lose(e, request)
            return False
        return True

    def _done(self, request: str, future: Future[Any]) -> None:
        self._room.release()
        if (e := future.exception()) is not None:
            self._losing.lose(e, request)
        else:
            self._losing.keep()

    def _ask(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Have it written, after what was logged before, and wait."""
        with _explained(self.path):
            return self._submit(lambda: self._carry(job)).result()

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        """Have the writing thread do it when its turn comes."""
        try:
            return self._writer.submit(work)
        except RuntimeError:
            raise Unkept(self.path, "the log is closed") from None

    def _carry(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """One transaction."""
        self._check_place()
        try:
            self._session.execute("begin immediate")
        except sqlite3.OperationalError:
            # Whoever holds the file that long holds it on: what waits behind is not to wait as long again, each.
            be_patient(self._session, 0)
            raise
        be_patient(self._session)
        try:
            found = job(self._session)
            self._losing.write(self._session)
            self._session.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                self._session.execute("rollback")
            raise
        return found

    def _wipe(self, job: Callable[[sqlite3.Connection], Counts]) -> Counts:
        gone = self._ask(job)
        with _explained(self.path):
            if not self._submit(lambda: wiped(self._session)).result():
                raise ParetoError(
                    f"{self.path}: deleted, but another process still reads old pages of the file; "
                    "give the same command again when it has ended"
                )
        return gone

    def _read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """On a session of its own, so that what is written does not wait; what was logged before is seen."""
        self.flush()
        self._check_place()
        session = connect(self.path)
        try:
            with _explained(self.path):
                session.execute("begin")  # one state of the file, however often it is asked
                return job(session)
        finally:
            session.close()

    def _check_place(self) -> None:
        """Neither write into a file that nobody will read, nor read from another than is written."""
        if _inode(self.path) != self._inode:
            raise Unkept(self.path, "was moved away; what is served is not logged before the next start")


_create = create


def _known(session: sqlite3.Connection, id: str) -> tuple[Any, ...]:
    """What tells the prompts of two requests apart."""
    id = as_text(id)
    row = session.execute("select prompt_tokens, prompt from served where id = ?", (id,)).fetchone()
    if row is None:
        raise Unknown(f"no request '{id}' in the log; give the id of an answer, as the server told it")
    return tuple(row)


def _inode(path: Path) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError) as e:
        raise told(path, e) from None
