"""Prompts on their way into the batch, read piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from pareto.inference.server.decoding import Memory
from pareto.inference.server.lines import hear, lines_of
from pareto.inference.server.tickets import Soup, Ticket

if TYPE_CHECKING:
    from pareto.models import Base


WIDTHS = 16
"""Prompts are read in widths that are multiples of this: for each other shape, some kernels keep memory for ever."""


class Reading:
    """Some tickets' prompts, left-padded to the longest; a ticket's answers share what is read."""

    def __init__(self, base: Base, tickets: Sequence[Ticket]) -> None:
        self.tickets = tuple(tickets)
        self.lines = [line for ticket in tickets for line in lines_of(base, ticket)]
        prompts = [ticket.ask.ids for ticket in tickets]
        self._prompt_of = [i for i, ticket in enumerate(tickets) for _ in ticket.rows]
        width = -(-max(map(len, prompts)) // WIDTHS) * WIDTHS
        pad = int(base.tokenizer.pad_token_id)
        self._ids = torch.tensor([[*[pad] * (width - len(p)), *p] for p in prompts], device=base.device)
        self._mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=base.device)
        self._memory = Memory(base)

    @property
    def soups(self) -> list[Soup]:
        """Of each prompt."""
        return [ticket.ask.coefficients for ticket in self.tickets]

    @property
    def left(self) -> int:
        """Tokens to be read, with the padding."""
        return self._ids.numel()

    def read(self, tokens: int) -> Memory | None:
        """Read about so many tokens; when all are read, every line hears its first one.

        Returns:
            What each line has read then, one row each; ``None``: there is more.
        """
        columns = max(1, tokens // len(self.tickets))
        logits = self._memory.read(self._ids[:, :columns], self._mask[:, :columns])
        self._ids, self._mask = self._ids[:, columns:], self._mask[:, columns:]
        if self.left:
            return None
        hear(self.lines, logits[self._prompt_of])
        self._memory.keep(self._prompt_of)
        return self._memory
