"""The log's file: one SQLite database, its tables, and records as their rows."""

from __future__ import annotations

import json
import math
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pareto.errors import ParetoError
from pareto.store.files import to_json, write_bytes
from pareto.store.leases import FileLeases
from pareto.traffic.records import Feedback, ScoredAnswer, Served

FILE = "traffic.sqlite"
"""In a run's folder."""
VERSION = 1
"""Of the tables."""
PATIENCE_SECONDS = 30.0
"""How long another process's write is waited for."""
_TABLES = f"""
create table meta (name text primary key, value text not null) without rowid;
create table served (id text primary key, time real not null, model text not null, arm text not null,
                     user text not null, weights text, coefficients text not null, point text, moved text not null,
                     prompt_tokens integer not null, tokens integer not null, n integer not null, finish text not null,
                     queued real not null, first_token real, seconds real not null, status integer not null,
                     prompt text, answer text, features blob, turns integer not null);
create index served_time on served (time);
create index served_user on served (user);
create table scores (id text primary key, time real not null, scores text not null, spreads text not null,
                     flagged text not null, predicted text not null);
create table feedback (id text primary key, time real not null, served text not null, kind text not null,
                       value real not null, other text not null, objective text not null, user text not null,
                       comment text not null);
create index feedback_served on feedback (served);
create index feedback_other on feedback (other);
create index feedback_user on feedback (user);
pragma user_version = {VERSION};
"""
_JSON = ("weights", "coefficients", "scores", "spreads", "flagged", "predicted")
R = TypeVar("R", Served, ScoredAnswer, Feedback)
TABLES: Mapping[type, str] = {Served: "served", ScoredAnswer: "scores", Feedback: "feedback"}


class Unkept(ParetoError):
    """A log's own trouble, which is not that of who writes to it."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.what = what
        """The same without the path, which clients of a server need not know."""


class Unknown(ParetoError):
    """A request that is not in the log; it may have been deleted."""


def create(path: Path) -> None:
    """Begin a log where there is none; of several processes that do so at once the first one's stays.

    Raises:
        ParetoError: a full disk, or a folder that cannot be written.
    """
    with FileLeases(path.parent).lock():
        if path.exists():
            return
        # Of a log that was moved away: read with a new file, they would bring back what was in the old one.
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        session = sqlite3.connect(":memory:")
        # Room that is freed goes back at once, without the second copy of everything that a VACUUM writes.
        session.execute("pragma auto_vacuum = full")
        session.executescript(_TABLES)
        session.execute("insert into meta values ('salt', ?)", (secrets.token_hex(16),))
        session.commit()
        data = session.serialize()
        session.close()
        write_bytes(path, data)
        path.chmod(0o600)  # what people ask is for the owner's eyes; SQLite's other files follow
        session = sqlite3.connect(path, isolation_level=None)
        session.execute("pragma journal_mode = wal")
        session.close()


def connect(path: Path) -> sqlite3.Connection:
    """A session that writes at once what each transaction says.

    Raises:
        ParetoError: no log, a damaged one, or one of a newer version.
    """
    if not path.is_file():
        raise ParetoError(f"{path}: no traffic was logged yet; `pareto serve` begins a log")
    session = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    be_patient(session)
    try:
        (version,) = session.execute("pragma user_version").fetchone()
        if version > VERSION:
            raise ParetoError(f"{path}: written by a newer pareto (tables {version}, here {VERSION}); upgrade pareto")
        found = {name for (name,) in session.execute("select name from sqlite_master where type = 'table'")}
        if version < 1 or not {"meta", *TABLES.values()} <= found:
            raise sqlite3.DatabaseError("not a log of traffic")
        # What is deleted is overwritten. A power cut may lose the last second; it cannot damage the file.
        session.execute("pragma secure_delete = on")
        session.execute("pragma synchronous = normal")
    except BaseException as e:
        session.close()
        if isinstance(e, sqlite3.Error):
            raise told(path, e) from None
        raise
    return session


def be_patient(session: sqlite3.Connection, seconds: float | None = None) -> None:
    """How long a session waits for another process's write; ``None``: as usual."""
    wait = PATIENCE_SECONDS if seconds is None else seconds
    session.execute(f"pragma busy_timeout = {round(wait * 1000)}")


def told(path: Path, e: Exception) -> Unkept:
    """What went wrong with the file, in one line with what to do."""
    code = getattr(e, "sqlite_errorcode", sqlite3.SQLITE_NOTADB) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unkept(path, f"another process has held it for {PATIENCE_SECONDS:g} s; try again")
    if code == sqlite3.SQLITE_FULL:
        return Unkept(path, "the disk is full")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Unkept(path, f"not kept, its id is there already ({e})")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return Unkept(path, f"cannot be read or written: {e}")
    return Unkept(path, f"damaged ({e}); move it away, and the next `pareto serve` begins a new one")


def insert(session: sqlite3.Connection, record: Served | ScoredAnswer | Feedback, over: bool = False) -> None:
    """One row. Raises sqlite3.IntegrityError where the id is taken and ``over`` is not set."""
    names = [f.name for f in fields(record)]
    statement = (
        f"insert {'or replace ' if over else ''}into {TABLES[type(record)]} ({', '.join(names)}) "
        f"values ({', '.join('?' * len(names))})"
    )
    session.execute(statement, [_stored(name, getattr(record, name)) for name in names])


def select(
    session: sqlite3.Connection, kind: type[R], where: str = "true", *values: Any, limit: int | None = None
) -> list[R]:
    """Records in the order of time; ``limit``: only so many, the latest."""
    names = [f.name for f in fields(kind) if f.name != "features"]
    latest = "" if limit is None else f"limit {int(limit)}"
    rows = session.execute(
        f"select {', '.join(names)} from {TABLES[kind]} where {where} order by time desc, rowid desc {latest}", values
    ).fetchall()
    columns = [_column(name, cells) for name, cells in zip(names, zip(*reversed(rows), strict=True), strict=False)]
    return [kind(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def parsed(cells: Sequence[str | None]) -> list[Any]:
    """A column of JSON, read as one: a parser's start takes longer than such short texts."""
    found: list[Any] = json.loads(f"[{','.join('null' if cell is None else cell for cell in cells)}]")
    if len(found) != len(cells):
        raise ValueError("a column of JSON with cells of several values")
    return found


def as_text(value: str) -> str:
    """What can be kept of a text: half a surrogate pair, which JSON can smuggle in, becomes a question mark."""
    return value.encode(errors="replace").decode()


def pack(features: Any) -> bytes:
    """An encoder's features as they are kept: float16."""
    return np.asarray(features, dtype=np.float16).tobytes()


def unpack(stored: bytes) -> np.ndarray[Any, np.dtype[np.float32]]:
    """And back."""
    return np.frombuffer(stored, dtype=np.float16).astype(np.float32)


def _stored(name: str, value: Any) -> Any:
    if name in _JSON and value is not None:
        return to_json(list(value) if isinstance(value, tuple) else dict(value), separators=(",", ":"))
    if name == "features" and value is not None:
        return pack(value)
    return as_text(value) if isinstance(value, str) else value


def _column(name: str, cells: Sequence[Any]) -> Sequence[Any]:
    return [_read(found) for found in parsed(cells)] if name in _JSON else cells


def _read(found: Any) -> Any:
    if isinstance(found, list):
        return tuple(found)
    return found and {key: math.nan if number is None else number for key, number in found.items()}
