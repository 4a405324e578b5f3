"""What is asked of the engine, and what comes of it while it is being said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pareto.errors import ParetoError

Soup = tuple[tuple[str, float], ...]
"""Adapter → λ, sorted by name, without zeros; () is the base model."""
Finish = Literal["stop", "length", "time", "cancelled", "error"]


@dataclass(frozen=True)
class Ask:
    """One prompt, and how many answers it is to have; all of them read the prompt once."""

    ids: tuple[int, ...]
    """The prompt's tokens."""
    coefficients: Soup
    seeds: tuple[int, ...]
    """One per answer; an answer takes one number per token from ``np.random.default_rng(seed)``."""
    max_tokens: int
    """Of each answer."""
    temperature: float
    """0: always the likeliest token."""
    top_p: float
    top_k: int
    stop: tuple[str, ...] = ()
    """Texts that end an answer and are no part of it."""
    deadline: float | None = None
    """By ``time.monotonic``; answers that have not ended by then end with what they have said."""


@dataclass(eq=False)
class Row:
    """What one answer has said so far; written by the engine's thread alone."""

    text: str = ""
    """Never shrinks, and never shows half of a character or what may still become a stop."""
    tokens: list[int] = field(default_factory=list)
    """With the end-of-turn token, and with those of a stop."""
    logp: float = 0.0
    """Of the tokens, summed, at temperature 1, nats."""
    finish: Finish | None = None
    """Why it ended; ``None`` while it goes on."""


class Busy(ParetoError):
    """Too many wait already."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which it is worth trying again, estimated."""


class Ticket:
    """An ask that was accepted. All times are by ``time.monotonic``."""

    def __init__(self, ask: Ask, on_change: Callable[[Ticket], None] = lambda ticket: None) -> None:
        self.ask = ask
        self.rows = tuple(Row() for _ in ask.seeds)
        self.error: str | None = None
        """Why it could not be answered, in one line."""
        self.blamed = False
        """That is so because of what was asked."""
        self.submitted = time.monotonic()
        self.started: float | None = None
        """When its prompt began to be read."""
        self.first_token: float | None = None
        self.ended: float | None = None
        self.overtaken = 0
        """Tickets that came later and began before it."""
        self._on_change = on_change
        self._cancelled = False
        self._ended = threading.Event()

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self._ended.is_set()

    def cancel(self) -> None:
        """Let its answers end at the next step; any thread may ask."""
        self._cancelled = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is said, at most so many seconds; whether it is."""
        return self._ended.wait(timeout)

    def unwanted(self, now: float) -> Finish | None:
        """Why it is not to go on, if so."""
        if self._cancelled:
            return "cancelled"
        return "time" if self.ask.deadline is not None and now >= self.ask.deadline else None

    def changed(self) -> None:
        """Let whoever waits know of it; one who cannot be told has left."""
        if self.ended is None and all(row.finish for row in self.rows):
            self.ended = time.monotonic()
            self._ended.set()
        try:
            self._on_change(self)
        except Exception:  # as when the loop that it is to be told in has ended
            self.cancel()

    def fail(self, error: BaseException) -> None:
        """End it for an error: a ``ParetoError`` is of its own making, of any other nobody knows."""
        self.blamed = isinstance(error, ParetoError)
        said = " ".join(str(error).split())
        self.error = (said if self.blamed else f"{type(error).__name__}: {said}")[:300]
        self.end("error")

    def end(self, finish: Finish) -> None:
        """End those of its answers that go on."""
        for row in self.rows:
            row.finish = row.finish or finish
        self.changed()
