"""Whose turn it is: in order of arrival, but nobody stands in an empty hall behind one who needs more places."""

from __future__ import annotations

from collections.abc import Iterable

from pareto.inference.server.tickets import Ticket

PATIENCE = 8
"""Tickets that may overtake one for which there are too few places; then all wait until there are."""


def next_to_read(waiting: Iterable[Ticket], free: int, tokens: int, *, short: bool) -> list[Ticket]:
    """The tickets whose prompts are read next, together, in one padded rectangle.

    Args:
        waiting: in order of arrival.
        free: places in the batch.
        tokens: that the rectangle may have; only a single prompt may be longer.
        short: leave out prompts that are longer, as one is being read already.

    Returns:
        Some of those who wait, in their order; whoever they pass is told so.
    """
    group: list[Ticket] = []
    passed: list[Ticket] = []
    width = 0
    for ticket in waiting:
        size = len(ticket.ask.ids)
        if short and size > tokens:
            continue
        if len(ticket.rows) > free:
            passed.append(ticket)
            continue
        wider = max(width, size)
        too_large = group and wider * (len(group) + 1) > tokens
        if too_large or any(other.overtaken >= PATIENCE for other in passed):
            break
        for other in passed:
            other.overtaken += 1
        group.append(ticket)
        width, free = wider, free - len(ticket.rows)
    return group
