"""Best answers kept on disk: exact matches only, bounded in size and age, safe from other processes and from kill -9.

One SQLite file in write-ahead mode, values as JSON with their hash beside them. What is damaged is set aside.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pareto.store.files import to_json

T = TypeVar("T")

FILE = "answers.sqlite"
"""In a run's folder."""
MOST_BYTES = 64 << 20
KEEP_SECONDS = 30 * 86400.0
VERSION = 1
"""Of the tables; a file of another version is set aside."""
PATIENCE_SECONDS = 5.0
"""How long another process's write is waited for."""
_TABLES = f"""
create table answers (key text primary key, bytes integer not null, made real not null, used real not null,
                      hash text not null, value text not null) without rowid;
create index answers_used on answers (used, bytes);
create table counts (what text primary key, n integer not null) without rowid;
insert into counts values ('hits', 0), ('misses', 0);
pragma user_version = {VERSION};
"""


class Damaged(Exception):
    """What is read is not what was written."""


@dataclass(frozen=True)
class Use:
    """What a cache has been good for since it was made."""

    hits: int
    misses: int
    entries: int
    bytes: int
    """Of keys and values; the file is somewhat larger."""

    @property
    def rate(self) -> float:
        """Share of questions that it answered; 0 before the first."""
        return self.hits / max(1, self.hits + self.misses)


class Cache:
    """Answers by the hash of all that they depend on."""

    def __init__(
        self,
        path: Path,
        *,
        most_bytes: int = MOST_BYTES,
        keep_seconds: float = KEEP_SECONDS,
        note: Callable[[str], None] = lambda line: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open a file, or begin one.

        Args:
            path: the file; its folder must exist.
            most_bytes: of keys and values together; past it those go that were not asked for longest.
            keep_seconds: after which an answer is forgotten.
            note: told, in a line, when a file was damaged or cannot be used. No answer is lost for that: it is made.
            now: seconds since 1970.
        """
        self.path, self.most_bytes, self.keep_seconds = path, most_bytes, keep_seconds
        self._note, self._now = note, now
        self._lock = threading.Lock()
        self._session: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._told = ""

    def get(self, key: str) -> Any | None:
        """The value that was kept under exactly this key, or ``None``."""
        return self._attempt(lambda session: self._get(session, key))

    def put(self, key: str, value: Any) -> None:
        """Keep plain data; what is larger than the whole cache may be is not kept."""
        text = to_json(value, separators=(",", ":"))
        size = len(key) + len(text.encode())
        if size <= self.most_bytes:
            self._attempt(lambda session: self._put(session, key, text, size))

    def use(self) -> Use:
        """Hits and misses of all processes, and what is kept."""
        return self._attempt(_use) or Use(0, 0, 0, 0)

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        with self._lock:
            self._close()

    def _get(self, session: sqlite3.Connection, key: str) -> Any | None:
        now = self._now()
        row = session.execute("select value, hash, made from answers where key = ?", (key,)).fetchone()
        if row and row[2] + self.keep_seconds <= now:
            session.execute("delete from answers where key = ? and made = ?", (key, row[2]))
            row = None
        if row and row[1] != _hash(key, row[0]):
            raise Damaged("an answer is not the one that was written")
        _count(session, "hits" if row else "misses")
        if not row:
            return None
        session.execute("update answers set used = ? where key = ?", (now, key))
        return json.loads(row[0])

    def _put(self, session: sqlite3.Connection, key: str, text: str, size: int) -> None:
        now = self._now()
        session.execute("delete from answers where made <= ?", (now - self.keep_seconds,))
        session.execute(
            "insert or replace into answers values (?, ?, ?, ?, ?, ?)", (key, size, now, now, _hash(key, text), text)
        )
        over = _use(session).bytes - self.most_bytes
        while over > 0:
            oldest = "select key, bytes from answers where key != ? order by used limit 1"
            old, freed = session.execute(oldest, (key,)).fetchone()
            session.execute("delete from answers where key = ?", (old,))
            over -= freed

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do it in one transaction; a damaged file is set aside and the work done on a new one.

        A cache is a convenience: what stands in its way (a full disk, a folder without rights) is told, not raised.
        """
        with self._lock:
            try:
                try:
                    return self._transaction(work)
                except (Damaged, sqlite3.DatabaseError) as e:
                    if not _is_damage(e):
                        raise
                    self._set_aside(str(e))
                    return self._transaction(work)
            except (Damaged, sqlite3.Error, OSError) as e:
                self._close()
                if str(e) != self._told:
                    self._note(f"{self.path}: answers are not kept: {e}")
                self._told = str(e)
                return None

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        session = self._opened()
        session.execute("begin immediate")
        try:
            found = work(session)
        except BaseException:
            with suppress(sqlite3.Error):
                session.execute("rollback")
            raise
        session.execute("commit")
        return found

    def _opened(self) -> sqlite3.Connection:
        if self._session is not None and _inode(self.path) != self._inode:  # another process has set it aside
            self._close()
        if self._session is None:
            with self._alone():
                try:
                    self._session = _connect(self.path)
                finally:
                    self._inode = _inode(self.path)
        return self._session

    def _set_aside(self, why: str) -> None:
        aside = self.path.with_name(self.path.name + ".damaged")
        self._close()
        with self._alone():
            # Another process may have done so already, and this file be the new one.
            if self._inode is not None and self._inode == _inode(self.path):
                os.replace(self.path, aside)
                for end in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + end).unlink(missing_ok=True)
                self._note(f"{self.path}: damaged ({why}); set aside as {aside.name}, and a new one begun")

    def _close(self) -> None:
        if self._session is not None:
            with suppress(sqlite3.Error):
                self._session.close()
        self._session = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process opens the file or takes it away."""
        with open(self.path.with_name(self.path.name + ".lock"), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _connect(path: Path) -> sqlite3.Connection:
    session = sqlite3.connect(path, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        session.execute("pragma journal_mode = wal")
        # A power cut may lose the last answers; it cannot damage the file.
        session.execute("pragma synchronous = normal")
        (version,) = session.execute("pragma user_version").fetchone()
        (tables,) = session.execute("select count(*) from sqlite_master").fetchone()
        if (version, tables) == (0, 0):
            session.executescript(f"begin immediate; {_TABLES} commit;")
        elif version != VERSION:
            raise Damaged(f"version {version} of its tables, not {VERSION}")
    except BaseException:
        session.close()
        raise
    return session


def _is_damage(e: Exception) -> bool:
    """Whether the file is at fault, rather than the disk, its rights or another process that holds it."""
    if isinstance(e, sqlite3.OperationalError) and "no such" in str(e):  # a table or column: another's file
        return True
    code = getattr(e, "sqlite_errorcode", 0) & 0xFF
    return isinstance(e, Damaged) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _use(session: sqlite3.Connection) -> Use:
    n = dict(session.execute("select what, n from counts").fetchall())
    entries, size = session.execute("select count(*), coalesce(sum(bytes), 0) from answers").fetchone()
    return Use(n.get("hits", 0), n.get("misses", 0), entries, size)


def _count(session: sqlite3.Connection, what: str) -> None:
    session.execute("update counts set n = n + 1 where what = ?", (what,))


def _hash(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\n{text}".encode()).hexdigest()
