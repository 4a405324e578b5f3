"""What a log loses: told once, remembered by id, and written into the log as soon as that can be written again."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from pareto.traffic.records import Losses
from pareto.traffic.tables import Unkept, Unknown, told

Note = Callable[[str], None]
CALM_SECONDS = 10.0
"""Without a loss, after which a log is whole again: one that loses every other record need not tell of each."""
REMEMBERED = 4096
"""Requests that could not be logged, the latest, whose ids are known."""
_NAME = "missed "


class Losing:
    """Of one log since it was opened. Any thread may use it."""

    def __init__(self, path: Path, note: Note) -> None:
        """Begin with nothing lost.

        Args:
            path: of the log's file.
            note: told, in a line, when records begin to be lost, and when they no longer are.
        """
        self.losses = Losses()
        self._path, self._note = path, note
        self._key = _NAME + secrets.token_hex(8)
        self._last = 0.0
        self._requests: dict[str, None] = {}
        self._turn = threading.Lock()

    def lose(self, e: BaseException, request: str = "") -> None:
        """Count a record; ``request``: the id, where it is one."""
        if isinstance(e, sqlite3.Error):
            e = told(self._path, e)
        reason = e.what if isinstance(e, Unkept) else str(e)
        with self._turn:
            before = self.losses
            if isinstance(e, Unknown):  # as of a request that was deleted meanwhile
                self.losses = replace(before, records=before.records + 1, reason=before.reason or reason)
                return
            self.losses, self._last = Losses(before.records + 1, reason, now=True), time.monotonic()
            if request:
                self._requests[request] = None
                if len(self._requests) > REMEMBERED:
                    del self._requests[next(iter(self._requests))]
        if not before.now:
            self._note(f"{self._path}: {self.losses.said}")

    def keep(self) -> None:
        """Hear that a record was kept."""
        with self._turn:
            if not self.losses.now or time.monotonic() - self._last < CALM_SECONDS:
                return
            self.losses = replace(self.losses, now=False)
        self._note(f"{self._path}: records are kept again; {self.losses.records} were lost")

    def check(self, *requests: str) -> None:
        """Raises Unkept where one of these requests was lost."""
        with self._turn:
            lost = [id for id in requests if id in self._requests]
        if lost:
            raise Unkept(self._path, f"'{lost[0]}' was answered but could not be logged; nothing can be said of it")

    def write(self, session: sqlite3.Connection) -> None:
        """Note in the log itself what was lost so far, while that is going on; within somebody's transaction."""
        if self.losses.now:
            value = json.dumps({**asdict(self.losses), "time": time.time()})
            session.execute("insert or replace into meta (name, value) values (?, ?)", (self._key, value))


def missed(session: sqlite3.Connection, since: float) -> Losses:
    """What all servers have lost that wrote of it since a time, and why the last of them did."""
    rows = session.execute("select value from meta where name like ?", (f"{_NAME}%",)).fetchall()
    found = [entry for (value,) in rows if (entry := json.loads(value))["time"] >= since]
    last = max(found, key=lambda entry: float(entry["time"]), default={"reason": ""})
    return Losses(sum(entry["records"] for entry in found), str(last["reason"]))
