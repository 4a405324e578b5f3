"""A file of JSON lines that is only ever added to, read as it grows."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from pareto.records import SCHEMA
from pareto.store.files import append_line, to_json
from pareto.store.leases import FileLeases

T = TypeVar("T")


class Journal(Generic[T]):
    """One journal, as one process sees it; other processes and threads may write it at the same time."""

    def __init__(self, path: Path, parse: Callable[[dict[str, Any]], T]) -> None:
        """Look at a journal.

        Args:
            path: made with its folder at the first write.
            parse: from a line's object to what it says; raises KeyError, TypeError or ValueError where it says
                nothing.
        """
        self.path = path
        self._parse = parse
        self._turn = threading.Lock()
        self._forget()

    def read(self) -> tuple[list[T], int]:
        """What all lines say, in the order written, and how many could not be read.

        A line is torn where a machine went down while it was written; the others are as good as before.
        """
        with self._turn:
            return self._catch_up()

    def lock(self) -> AbstractContextManager[None]:
        """Critical section of all journals in the folder, across processes and threads; waits. Not reentrant."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLeases(self.path.parent).lock()

    def add(self, lines: Iterable[dict[str, Any]]) -> None:
        """Append objects, one write each; call it under ``lock``. Raises ParetoError on a full disk."""
        for line in lines:
            append_line(self.path, to_json({"schema": SCHEMA, **line}))

    def _catch_up(self) -> tuple[list[T], int]:
        try:
            with open(self.path, "rb") as file:
                if file.seek(0, 2) < self._seen:  # another file has taken its place
                    self._forget()
                file.seek(self._seen)
                whole, end, last = file.read().rpartition(b"\n")
        except FileNotFoundError:
            self._forget()
            return [], 0
        self._seen += len(whole) + len(end)
        for line in whole.split(b"\n"):
            found, torn = self._line(line)
            self._said += found
            self._torn += torn
        found, torn = self._line(last)  # still being written, or torn, or only its end is missing
        return [*self._said, *found], self._torn + torn

    def _line(self, line: bytes) -> tuple[list[T], int]:
        if not line.strip():
            return [], 0
        try:
            fields = json.loads(line)
            del fields["schema"]
            return [self._parse(fields)], 0
        except (ValueError, TypeError, KeyError):
            return [], 1

    def _forget(self) -> None:
        self._said: list[T] = []
        self._seen = self._torn = 0
