"""What the live model carries for a batch: one soup, merged, or a soup per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Literal

from pareto.inference.server.tickets import Soup
from pareto.soups.bank import Bank
from pareto.soups.draw import HOOKS, ROW, SWITCH, TOKEN

Way = Literal["merged", "per_row"]


class Carrier:
    """Lets a bank carry what the next forward pass needs. Belongs to one thread."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.switches = 0
        """Times that other weights were written."""
        self._rows: tuple[Soup, ...] | None = None
        """What the rows carry, where each carries its own."""
        self._names: dict[str, None] = {}
        """Adapters that rows carried since the last release."""
        self._carried = ExitStack()

    def merges(self, soups: Iterable[Soup], steps: int, prompt_tokens: int) -> Soup | None:
        """The soup to be merged for a batch of these; ``None``: each row carries its own.

        All must be the same one, and it must be there already, or the steps that are left must save more than it costs
        to go there and back: whoever comes next may want another.

        Args:
            soups: of all rows.
            steps: that are left, at most.
            prompt_tokens: to be read still.
        """
        rows = list(soups)
        if len(set(rows)) != 1:
            return None
        saved = steps * (HOOKS + len(rows) * ROW) + prompt_tokens * TOKEN
        return rows[0] if self.bank.merged == dict(rows[0]) or saved > 2 * SWITCH else None

    def carry(self, rows: Sequence[Soup], merged: Soup | None) -> Way:
        """Make the model carry these rows' soups, which is the merged one for all of them where there is one."""
        if merged is not None:
            self.release()
            self._write(merged)
            return "merged"
        if self._rows != tuple(rows):
            self._carried.close()
            self._rows = None
            self._write(())
            # A row that is left out at once: the factors of adapters that came and went are not put together anew each
            # time, which takes as long as several steps.
            self._names |= {name: None for soup in rows for name, _ in soup}
            carried = self._carried.enter_context(
                self.bank.rows([*(dict(soup) for soup in rows), dict.fromkeys(self._names, 1.0)])
            )
            carried.keep(range(len(rows)))
            self._rows = tuple(rows)
        return "per_row"

    def release(self) -> None:
        """Let other threads have the model; what is merged stays."""
        self._carried.close()
        self._rows, self._names = None, {}

    def _write(self, soup: Soup) -> None:
        self.switches += self.bank.merged != dict(soup)
        self.bank.merge(dict(soup))
