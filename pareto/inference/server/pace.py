"""How fast what is asked ends, for those who have to come again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

RECENT = 32
"""Ends from which the pace is judged."""
SHORTEST, LONGEST = 1.0, 60.0
"""Seconds after which a refused one may come again."""


class Pace:
    """Of one engine; the hours in which nobody asked do not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._each = clock, SHORTEST
        self._marks: deque[float] = self._anew()

    def begin(self) -> None:
        """Somebody comes where nobody was."""
        if len(self._marks) > 1:
            self._each = (self._marks[-1] - self._marks[0]) / (len(self._marks) - 1)
        self._marks = self._anew()

    def end(self) -> None:
        """One has ended."""
        self._marks.append(self._clock())

    def patience(self, ahead: int) -> float:
        """Seconds until half of so many will have ended, as fast as it goes now; before the first end, as it went."""
        marks = self._marks
        each = (self._clock() - marks[0]) / (len(marks) - 1) if len(marks) > 1 else self._each
        return min(LONGEST, max(SHORTEST, each * ahead / 2))

    def _anew(self) -> deque[float]:
        """When work began; the ends follow."""
        return deque([self._clock()], maxlen=RECENT + 1)
