"""Whose turn it is."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from pareto.inference.server.tickets import Ask, Ticket
from pareto.inference.server.waiting import PATIENCE, next_to_read


def ticket(rows: int = 1, tokens: int = 10) -> Ticket:
    return Ticket(Ask((1,) * tokens, (), tuple(range(rows)), 5, 0.0, 1.0, 50))


tickets = st.lists(st.builds(ticket, st.integers(1, 8), st.integers(1, 300)), max_size=12)


@given(tickets, st.integers(0, 8), st.integers(1, 256), st.booleans())
def test_a_group_fits_and_keeps_its_order(waiting: list[Ticket], free: int, tokens: int, short: bool) -> None:
    group = next_to_read(waiting, free, tokens, short=short)
    assert group == [t for t in waiting if t in group]
    assert sum(len(t.rows) for t in group) <= free
    rectangle = len(group) * max((len(t.ask.ids) for t in group), default=0)
    assert rectangle <= tokens or (len(group) == 1 and not short)
    if waiting and len(waiting[0].rows) <= free and not short:
        assert group[0] is waiting[0]


@given(st.lists(st.integers(1, 8), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_nobody_waits_for_ever_however_many_come(sizes: list[int], seed: int) -> None:
    """A batch of 8 with one row leaving at each step, and a small ticket coming at each step."""
    waiting, running = deque(ticket(n) for n in sizes), 0
    first = set(waiting)
    for _ in range(40 * len(sizes) + 40):
        group = next_to_read(waiting, 8 - running, 1000, short=False)
        for t in group:
            waiting.remove(t)
            first.discard(t)
            running += len(t.rows)
        running = max(0, running - 1)
        waiting.append(ticket())
        if not first:
            break
    assert not first


def test_one_who_needs_more_places_is_overtaken_a_few_times_and_then_no_more() -> None:
    large, small = ticket(rows=4), [ticket() for _ in range(PATIENCE + 3)]
    assert next_to_read([large, *small], 3, 1000, short=False) == small[:3]
    assert large.overtaken == 3
    passed = small[:3]
    while group := next_to_read([large, *(s for s in small if s not in passed)], 1, 1000, short=False):
        passed += group
    assert len(passed) == PATIENCE
    assert next_to_read([large, *small[PATIENCE:]], 4, 1000, short=False) == [large]
