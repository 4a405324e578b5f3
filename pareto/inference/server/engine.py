"""Continuous batching: one thread owns the live model, and tickets join and leave its batch between two steps.

Every row carries its own soup while rows differ, and the weights are merged while all are the same. A row draws what
it would draw alone. New prompts are read a bounded number of tokens at a time, so that those who are being answered
wait little for them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pareto.errors import ParetoError
from pareto.inference.server.carrying import Carrier, Way
from pareto.inference.server.decoding import Batch, check_joinable
from pareto.inference.server.lines import Line
from pareto.inference.server.pace import SHORTEST, Pace
from pareto.inference.server.reading import Reading
from pareto.inference.server.tickets import Ask, Busy, Finish, Row, Soup, Ticket
from pareto.inference.server.waiting import next_to_read
from pareto.models import context_check
from pareto.soups.bank import Bank

if TYPE_CHECKING:
    from pareto.models import Base

__all__ = ["Ask", "Busy", "Engine", "Finish", "Row", "Soup", "Stats", "Ticket"]

PIECE, PIECE_GPU = 128, 2048
"""Tokens of prompts that are read between two steps: about half a second of one core for 135M parameters."""
RECENT = 32
"""Steps from which the present load is judged."""


@dataclass(frozen=True)
class Stats:
    """What an engine does and has done since its start."""

    running: int
    """Answers in the batch, and those whose prompt is being read."""
    waiting: int
    """Tickets that have not begun."""
    batch: float
    """Rows per step, of late."""
    steps: int
    merged_steps: int
    per_row_steps: int
    switches: int
    """Times that other weights were written."""
    tokens: int
    """Drawn."""
    prompt_tokens: int
    """Read."""


class Engine:
    """The thread, its batch and its queue."""

    def __init__(self, base: Base, bank: Bank, *, rows: int = 32, waiting: int = 64, gather: float = 0.005) -> None:
        """Begin to wait for tickets.

        Args:
            base: the live model.
            bank: the adapters over it; nobody else uses either while tickets run.
            rows: answers that are drawn at a time, at most.
            waiting: tickets in the queue, at most.
            gather: seconds for which an idle engine waits for more, when one has come.

        Raises:
            ParetoError: a model whose batches cannot be joined.
        """
        check_joinable(base)
        self.base, self.rows, self.waiting, self.gather = base, rows, waiting, gather
        self.on_step: Callable[[int, Way], None] = lambda rows, way: None
        """Told of each step: its rows, and how they carried their soups."""
        self._carrier = Carrier(bank)
        self._queue: deque[Ticket] = deque()
        self._reading: list[Reading] = []
        self._batch = Batch(base)
        self._steps: dict[Way, int] = {"merged": 0, "per_row": 0}
        self._sizes: deque[int] = deque(maxlen=RECENT)
        self._pace = Pace()
        self._tokens = self._prompt_tokens = self._turn = 0
        self._closed = False
        self._until: float | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def submit(self, ask: Ask, on_change: Callable[[Ticket], None] = lambda ticket: None) -> Ticket:
        """Queue an ask.

        Args:
            ask: what is wanted.
            on_change: called in the engine's thread after each token of the ticket and at its end.

        Raises:
            Busy: too many wait, or the engine is ending.
            ParetoError: an adapter that is not in the bank; more answers than the batch has rows; a prompt that does
                not fit into the context.
        """
        if not 1 <= len(ask.seeds) <= self.rows:
            raise ParetoError(f"{len(ask.seeds)} answers to one prompt: wanted 1 to {self.rows}")
        context_check(self.base, list(ask.ids), ask.max_tokens, self.base.context, "prompt")
        self._carrier.bank.vector([value for _, value in ask.coefficients], [name for name, _ in ask.coefficients])
        ticket = Ticket(ask, on_change)
        with self._changed:
            if self._closed:
                raise Busy("this server is ending", SHORTEST)
            if len(self._queue) >= self.waiting:
                raise Busy(f"{len(self._queue)} requests are waiting already", self.patience(len(self._queue)))
            if not (self._queue or self._taken):
                self._pace.begin()
            self._queue.append(ticket)
            self._changed.notify_all()
        return ticket

    def close(self, drain: float | None = None) -> None:
        """Take no more, finish what was accepted, end the thread.

        Args:
            drain: seconds after which what is left is cancelled; ``None``: it takes what it takes.
        """
        with self._changed:
            self._closed = True
            self._until = None if drain is None else time.monotonic() + drain
            self._changed.notify_all()
        self._thread.join()

    def stats(self) -> Stats:
        """What it does now; any thread may ask."""
        with self._changed:
            return Stats(
                running=self._taken,
                waiting=len(self._queue),
                batch=sum(self._sizes) / max(1, len(self._sizes)),
                steps=sum(self._steps.values()),
                merged_steps=self._steps["merged"],
                per_row_steps=self._steps["per_row"],
                switches=self._carrier.switches,
                tokens=self._tokens,
                prompt_tokens=self._prompt_tokens,
            )

    def patience(self, ahead: int) -> float:
        """Seconds until half of so many tickets have ended, as fast as they do of late; any thread may ask."""
        return self._pace.patience(ahead)

    def _work(self) -> None:
        while self._more():
            self._turn += 1
            try:
                self._end_unwanted(time.monotonic())
                self._read()
                self._step()
            except Exception as e:  # it cannot be said whose fault it is; the thread goes on with those who wait
                lines, self._batch, self._reading = self._running(), Batch(self.base), []
                self._fail([line.ticket for line in lines], e)
        self._carrier.release()

    def _more(self) -> bool:
        """Wait for something to do; whether there is."""
        with self._changed:
            if not (self._batch.lines or self._reading or self._queue):
                self._carrier.release()
                self._changed.wait_for(lambda: self._queue or self._closed)
                self._changed.wait_for(lambda: len(self._queue) >= self.rows or self._closed, self.gather)
            return bool(self._batch.lines or self._reading or self._queue)

    def _end_unwanted(self, now: float) -> None:
        """End what was cancelled or takes too long."""
        over = self._until is not None and now >= self._until

        def reason(ticket: Ticket) -> Finish | None:
            return "cancelled" if over else ticket.unwanted(now)

        with self._changed:
            waiting = [ticket for ticket in self._queue if reason(ticket)]
            for ticket in waiting:
                self._queue.remove(ticket)
        for ticket in waiting:
            ticket.end(reason(ticket) or "cancelled")
        for reading in list(self._reading):
            if ended := reason(reading.tickets[0]):  # whose prompt is a long one, and read alone
                self._reading.remove(reading)
                reading.tickets[0].end(ended)
        unwanted = [line for line in self._batch.lines if reason(line.ticket)]
        for line in unwanted:
            try:
                line.end(reason(line.ticket) or "cancelled")
            except Exception as e:  # its text cannot be written
                line.ticket.fail(e)
        self._tell(unwanted)
        self._batch.leave()

    def _read(self) -> None:
        """Read some more of the prompts that are next, and let those who know theirs join the batch."""
        reading = self._next_reading()
        if reading is None:
            return
        try:
            self._carry(reading.soups)
            memory = reading.read(self._piece())
            if memory is None:
                return
            self._batch.join(reading.lines, memory)
            self._prompt_tokens += sum(len(ticket.ask.ids) for ticket in reading.tickets)
            self._tokens += len(reading.lines)
        except Exception as e:  # whatever it is, the others go on
            self._fail(reading.tickets, e)
        self._reading.remove(reading)
        self._tell(reading.lines)

    def _next_reading(self) -> Reading | None:
        """In turn a piece of the long prompt that is being read, and whole ones of those who wait."""
        long = self._reading[0] if self._reading else None
        if long and self._turn % 2:
            return long
        with self._changed:
            group = next_to_read(self._queue, self.rows - self._taken, self._piece(), short=long is not None)
            if not group:
                return long
            for ticket in group:
                self._queue.remove(ticket)
                ticket.started = time.monotonic()
            try:
                reading = Reading(self.base, group)
            except Exception as e:  # nobody may be forgotten between the queue and the batch
                self._fail(group, e)
                return None
            self._reading.append(reading)
            return reading

    def _step(self) -> None:
        """Draw a token for every row of the batch."""
        lines = self._batch.lines
        if not lines:
            return
        try:
            way = self._carry([line.soup for line in lines])
            self._batch.step()
            self._tokens += len(lines)
            self._steps[way] += 1
            self._sizes.append(len(lines))
            self.on_step(len(lines), way)
        finally:  # also those that have ended in a step that broke
            self._tell(lines)

    def _running(self) -> list[Line]:
        return [*self._batch.lines, *(line for reading in self._reading for line in reading.lines)]

    @property
    def _taken(self) -> int:
        """Places in the batch that are taken or promised."""
        return len(self._running())

    def _carry(self, rows: Sequence[Soup]) -> Way:
        """Let the model carry these, in the way that is best for all that runs."""
        lines = self._running()
        left = max(line.left for line in lines)
        merged = self._carrier.merges([line.soup for line in lines], left, sum(r.left for r in self._reading))
        return self._carrier.carry(rows, merged)

    def _piece(self) -> int:
        """Tokens of prompts to be read at once; nobody is kept waiting where nobody is being answered."""
        return (PIECE if self.base.device.type == "cpu" else PIECE_GPU) * (1 if self._batch.lines else 4)

    def _tell(self, lines: Iterable[Line]) -> None:
        """Let those who wait for these know."""
        now = time.monotonic()
        for ticket in dict.fromkeys(line.ticket for line in lines):
            if ticket.first_token is None and any(row.tokens for row in ticket.rows):
                ticket.first_token = now
            if not ticket.done:
                ticket.changed()
                if ticket.done:
                    self._pace.end()

    def _fail(self, tickets: Iterable[Ticket], error: Exception) -> None:
        for ticket in tickets:
            if not ticket.done:
                ticket.fail(error)
