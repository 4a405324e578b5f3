from __future__ import annotations

from pathlib import Path

import pytest
from engines.contract import Contract, ends, wait_ends
from engines.tasks import work

from pareto.engines import Beat, Inline


@pytest.fixture
def engine() -> Inline:
    return Inline()


class TestContract(Contract):
    pass


def test_longest_first_and_of_equals_the_one_that_came_first(engine: Inline, tmp_path: Path) -> None:
    place = {"file": str(tmp_path / "order")}
    sizes = {"short": 1.0, "long": 9.0, "middle": 5.0, "middle too": 5.0}
    ends(engine, *(work("sign", size=size, place=place, name=name) for name, size in sizes.items()))
    assert (tmp_path / "order").read_text().splitlines() == ["long", "middle", "middle too", "short"]


def test_what_waits_can_be_cancelled(engine: Inline, tmp_path: Path) -> None:
    place = {"file": str(tmp_path / "order")}
    works = [work("sign", place=place, name=name) for name in ("a", "b", "c")]
    for one in works:
        engine.submit(one)
    engine.cancel(works[1].key)
    engine.cancel("0123456789abcdef")
    assert [e.key for e in wait_ends(engine, 2)] == [works[0].key, works[2].key]
    assert (tmp_path / "order").read_text().split() == ["a", "c"]


def test_every_report_reaches_on_beat_while_the_work_runs(engine: Inline) -> None:
    one, seen = work("report", times=3, pause=0), []

    def on_beat(key: str, beat: Beat) -> None:
        seen.append((key, beat.done, beat.total, beat.count))
        assert engine.beats() == {key: beat}
        assert engine.nodes()[0].busy == 1
        assert engine.capacity() == 0

    engine.on_beat = on_beat
    ends(engine, one)
    assert seen == [(one.key, k, 3, k) for k in (1, 2, 3)]


def test_a_work_cancelled_while_it_runs_is_not_told(engine: Inline) -> None:
    engine.on_beat = lambda key, beat: engine.cancel(key)
    engine.submit(work("report", times=3, pause=0))
    assert engine.wait(0) == []
    assert engine.capacity() == 1


def test_an_interrupt_is_the_users(engine: Inline) -> None:
    engine.submit(work("interrupt"))
    engine.submit(work("double", n=1))
    with pytest.raises(KeyboardInterrupt):
        engine.wait(0)
    assert wait_ends(engine, 1)[0].told["double"] == 2
