"""Where works in the whole cluster write how far they are, for the driver to read in one call."""

from __future__ import annotations

from typing import final


@final
class Board:
    """An actor on the driver's node: it can be read whatever happens to the others."""

    def __init__(self) -> None:
        self._reports: dict[int, tuple[int, int, int]] = {}

    def report(self, attempt: int, done: int, total: int, count: int) -> None:
        """How far an attempt is; see ``Beat``."""
        self._reports[attempt] = (done, total, count)

    def read(self, attempts: list[int]) -> dict[int, tuple[int, int, int]]:
        """Attempt → done, total and count of those that reported; forgets all others."""
        self._reports = {attempt: self._reports[attempt] for attempt in attempts if attempt in self._reports}
        return self._reports
