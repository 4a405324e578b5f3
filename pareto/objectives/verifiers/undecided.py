"""No verdict, and why."""

from __future__ import annotations

import math


class Undecided(float):
    """NaN with a reason.

    Whoever knows it reports the reason for the row; a trainer that takes rewards as they are masks it like any NaN.
    """

    reason: str
    """One line: the status (``timeout``, ``error``) and what happened."""

    def __new__(cls, reason: str) -> Undecided:
        """NaN that knows why."""
        made = super().__new__(cls, math.nan)
        made.reason = reason
        return made
