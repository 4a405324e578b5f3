"""What is done, what is dropped, what breaking costs, and that nobody waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from forge import until

from pareto.errors import ParetoError
from pareto.traffic.backlog import Backlog


class Gate:
    """Work that waits until it is let through."""

    def __init__(self, open: bool = True) -> None:
        self.taken: list[list[str]] = []
        self.way = threading.Event()
        if open:
            self.way.set()

    def __call__(self, items: Sequence[str]) -> None:
        self.taken.append(list(items))
        self.way.wait(10)
        if "boom" in items:
            raise RuntimeError("boom\n  and more")


def backlog(work: Gate, share: float = 1.0, most: int = 100, batch: int = 1) -> Backlog[str]:
    return Backlog(work, share, name="test", most=most, batch=batch)


def test_a_share_is_done_always_the_same_and_a_smaller_one_is_within_a_larger() -> None:
    ids = [f"id-{k}" for k in range(2000)]
    taken = {}
    for share in (0.0, 0.2, 0.5, 1.0):
        work = Gate()
        made = backlog(work, share, most=len(ids))
        said = [id for id in ids if made.offer(id, id)]
        made.close()
        taken[share] = [id for (id,) in work.taken]
        assert taken[share] == said
        assert made.counted.done == len(said)
        assert abs(len(said) / len(ids) - share) <= 4 * (share * (1 - share) / len(ids)) ** 0.5
    assert {*taken[0.2]} <= {*taken[0.5]} <= {*taken[1.0]}


def test_offering_never_waits_and_what_is_too_much_is_dropped_and_counted() -> None:
    work = Gate(open=False)
    made = backlog(work, most=2)
    made.offer("0", "0")
    until(lambda: made.counted.waiting == 0)
    began = time.monotonic()
    assert [made.offer(f"{k}", f"{k}") for k in range(1, 6)] == [True, True, False, False, False]
    assert time.monotonic() - began < 5
    assert (made.counted.waiting, made.counted.dropped) == (2, 3)
    work.way.set()
    made.close()
    assert work.taken == [["0"], ["1"], ["2"]]
    assert (made.counted.done, made.counted.waiting) == (3, 0)
    assert not made.offer("late", "late")


def test_what_waits_is_done_together() -> None:
    work = Gate(open=False)
    made = backlog(work, batch=3)
    made.offer("0", "0")
    until(lambda: work.taken == [["0"]])
    for k in range(1, 6):
        made.offer(f"{k}", f"{k}")
    work.way.set()
    made.close()
    assert work.taken == [["0"], ["1", "2", "3"], ["4", "5"]]


def test_what_breaks_costs_itself_alone() -> None:
    work = Gate()
    made = backlog(work)
    for item in ("boom", "fine"):
        made.offer(item, item)
    made.close()
    counted = made.counted
    assert (counted.done, counted.failed, counted.reason) == (1, 1, "RuntimeError: boom and more")


def test_closing_waits_no_longer_than_it_is_told() -> None:
    work = Gate(open=False)
    made = backlog(work)
    for k in range(4):
        made.offer(f"{k}", f"{k}")
    until(lambda: made.counted.waiting == 3)
    began = time.monotonic()
    made.close(0.1)
    assert time.monotonic() - began < 5
    assert made.counted.dropped == 3
    work.way.set()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ParetoError, match=r"test share .*: wanted a share from 0 to 1"):
        backlog(Gate(), share)
