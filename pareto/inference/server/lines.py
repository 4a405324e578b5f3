"""A row of the batch: what draws one answer of a ticket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pareto.errors import ParetoError
from pareto.inference.server.choosing import choose_rows
from pareto.inference.server.speech import Speech
from pareto.inference.server.tickets import Finish, Row, Soup, Ticket

if TYPE_CHECKING:
    from torch import Tensor

    from pareto.models import Base


class Overflown(ParetoError):
    """A policy with which the model's numbers are none."""

    def __init__(self) -> None:
        super().__init__("the model's numbers overflow at these coefficients; give smaller ones")


class Line:
    """One answer that is being drawn."""

    def __init__(self, base: Base, ticket: Ticket, row: Row, seed: int) -> None:
        self.ticket, self.row = ticket, row
        self._random = np.random.default_rng(seed)
        self._speech = Speech(base.tokenizer, ticket.ask.stop)
        self._end_id = base.end_id

    @property
    def soup(self) -> Soup:
        """What it carries."""
        return self.ticket.ask.coefficients

    @property
    def left(self) -> int:
        """Tokens that it may still draw."""
        return self.ticket.ask.max_tokens - len(self.row.tokens)

    def uniform(self) -> float:
        """The number for its next token."""
        return float(self._random.random())

    def hear(self, token: int, logp: float) -> None:
        """Take the token that was drawn for it."""
        self.row.tokens.append(token)
        self.row.logp += logp
        if token == self._end_id:
            self.end("stop")
            return
        self._speech.add(token)
        self.row.text = self._speech.text
        if self._speech.stopped:
            self.end("stop")
        elif self.left == 0:
            self.end("length")

    def end(self, finish: Finish) -> None:
        """Say what was held back, and no more."""
        self._speech.end()
        self.row.text = self._speech.text
        self.row.finish = "stop" if self._speech.stopped else finish


def lines_of(base: Base, ticket: Ticket) -> list[Line]:
    """One per answer."""
    return [Line(base, ticket, row, seed) for row, seed in zip(ticket.rows, ticket.ask.seeds, strict=True)]


def hear(lines: Sequence[Line], logits: Tensor) -> None:
    """Draw the next token of each line; where its numbers or its tokenizer break, its ticket alone fails.

    Args:
        lines: rows.
        logits: (rows, vocabulary).
    """
    asks = [line.ticket.ask for line in lines]
    sound = logits.amax(1).isfinite()
    if not sound.all():
        logits = logits.where(sound[:, None], 0.0)
    drawn = choose_rows(logits, [line.uniform() for line in lines], asks)
    for line, whole, token, logp in zip(lines, sound.tolist(), *drawn, strict=True):
        try:
            if not whole:
                raise Overflown
            if line.row.finish is None:  # it may have failed with another of its ticket
                line.hear(token, logp)
        except Exception as e:  # whatever it is, the others go on
            line.ticket.fail(e)
