"""New priorities wait for each other, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import frontier_runs as runs
import pytest

from pareto.errors import ParetoError
from pareto.inference.server.docket import Docket
from pareto.inference.server.places import Places, Unjudged, Wish
from pareto.inference.server.refusals import Refusal

T = TypeVar("T")


@pytest.fixture
def docket() -> Iterator[Docket]:
    with closing(Docket(most=2, rest=0)) as docket:
        yield docket


def run(asked: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own: a browser that another test left open keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(asyncio.run, asked).result()


def test_one_is_judged_at_a_time_a_few_wait_and_more_are_told_to_come_again(docket: Docket) -> None:
    free, at_once, most = threading.Event(), 0, 0

    def work() -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        free.wait(10)
        at_once -= 1
        return 7

    async def ask() -> None:
        taken = [asyncio.create_task(docket.judged(work)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await docket.judged(work)
        assert (refused.value.status, refused.value.param) == (429, "pareto.priorities")
        assert refused.value.retry_after
        free.set()
        assert await asyncio.gather(*taken) == [7, 7]
        assert await docket.judged(work) == 7

    run(ask())
    assert most == 1


def test_who_leaves_keeps_the_place_until_it_is_judged(docket: Docket) -> None:
    """Or those who leave at once could have any number judged."""
    free = threading.Event()

    async def ask() -> None:
        taken = [asyncio.create_task(docket.judged(lambda: free.wait(10))) for _ in range(2)]
        await asyncio.sleep(0.05)
        taken[0].cancel()
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal):
            await docket.judged(lambda: None)
        free.set()
        with suppress(asyncio.CancelledError):
            await taken[0]
        assert await taken[1]

    run(ask())


def test_what_breaks_is_told_to_whoever_asked_and_holds_nobody_up(docket: Docket) -> None:
    def work() -> None:
        raise ParetoError("no")

    async def ask() -> None:
        for _ in range(5):
            with pytest.raises(ParetoError, match="no"):
                await docket.judged(work)

    run(ask())


def test_it_rests_so_that_others_have_the_processor() -> None:
    async def ask(docket: Docket) -> float:
        began = time.monotonic()
        await asyncio.gather(*(docket.judged(lambda: time.sleep(0.1)) for _ in range(3)))
        return time.monotonic() - began

    with closing(Docket(rest=2)) as docket:
        assert 0.7 <= run(ask(docket)) < 1.5


def test_what_nobody_asked_for_yet_is_told_apart_and_costs_nothing(tmp_path: Path) -> None:
    places = Places.open(runs.make(tmp_path))
    wish: Any = Wish("made", {"kind": 0.5, "words": 0.5}, None, "kind>=0.4@mean")
    for _ in range(2):
        with pytest.raises(Unjudged):
            places.at(wish, "", judge=False)
    place = places.at(wish, "")
    assert places.at(wish, "", judge=False) == place
    # Another place under the same rules, and what is refused for another reason, need no judging.
    places.at(Wish("made@words", None, None, "kind>=0.40@mean"), "", judge=False)
    with pytest.raises(ParetoError, match="kin"):
        places.at(Wish("made", None, None, "kin>=0.4"), "", judge=False)
