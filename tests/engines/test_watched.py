"""Against an engine that does as it is told, by a clock that goes only while it waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.engines import Beat, Ended, Node, Watched, Work

PATIENCE = 60.0


class Scripted:
    """Events happen at their time; an end is told even of a cancelled work, as by a node that comes back."""

    def __init__(self, slots: int = 9) -> None:
        self.clock, self.slots = 0.0, slots
        self.active: dict[str, Work] = {}
        self.progress: dict[str, Beat] = {}
        self.submitted: list[tuple[float, Work]] = []
        self.cancelled: list[tuple[float, str]] = []
        self.events: list[tuple[float, Callable[[], None]]] = []
        self.told: list[Ended] = []

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        self.events.append((time, lambda: action(*arguments)))
        self.events.sort(key=lambda event: event[0])

    def beat(self, key: str, count: int, node: str = "n1") -> None:
        self.progress[key] = Beat(count, 100, count, node)

    def end(self, key: str, outcome: Any = "done", **more: Any) -> None:
        self.active.pop(key, None)
        self.progress.pop(key, None)
        self.told.append(Ended(key, outcome, node="n1", **more))

    def submit(self, work: Work) -> None:
        assert work.key not in self.active, "the protocol's ValueError"
        self.active[work.key] = work
        self.submitted.append((self.clock, work))

    def wait(self, seconds: float) -> list[Ended]:
        until = self.clock + seconds
        while not self.told and self.events and self.events[0][0] <= until:
            self.clock, action = max(self.clock, self.events[0][0]), self.events.pop(0)[1]
            action()
        if not self.told:
            self.clock = until
        told, self.told = self.told, []
        return told

    def cancel(self, key: str) -> None:
        self.active.pop(key, None)
        self.progress.pop(key, None)
        self.cancelled.append((self.clock, key))

    def capacity(self) -> int:
        return max(0, self.slots - len(self.active))

    def beats(self) -> Mapping[str, Beat]:
        return dict(self.progress)

    def nodes(self) -> list[Node]:
        return [Node("n1", self.slots, len(self.active), True, 0.0)]

    def now(self) -> float:
        return self.clock

    def close(self) -> None:
        self.active.clear()


ONE = Work("m:f", {"n": 1}, label="train trial-3")


def test_what_ends_is_told_at_once() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE)
    watched.submit(ONE)
    engine.at(7.0, engine.end, ONE.key, "failed")
    (ended,) = watched.wait(100)
    assert (ended.key, ended.outcome, watched.now(), watched.retries) == (ONE.key, "failed", 7.0, 0)
    assert watched.wait(10) == []
    assert watched.now() == 17.0


def test_a_lost_work_is_submitted_anew_and_only_its_end_is_told() -> None:
    engine, said = Scripted(), []
    watched = Watched(engine, PATIENCE, on_retry=lambda work, why: said.append((work, why)))
    watched.submit(ONE)
    engine.at(7.0, lambda: engine.end(ONE.key, "lost", error="its process ended: killed by SIGKILL"))
    engine.at(9.0, engine.end, ONE.key)
    (ended,) = watched.wait(100)
    assert (ended.outcome, watched.now()) == ("done", 9.0)
    assert [(time, work.key) for time, work in engine.submitted] == [(0.0, ONE.key), (7.0, ONE.key)]
    assert (watched.retries, watched.wasted_seconds) == (1, 7.0)
    assert said == [(ONE, "lost on node n1: its process ended: killed by SIGKILL")]


def test_a_work_that_is_lost_too_often_has_failed() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE, retries=2)
    watched.submit(ONE)
    for time in (1.0, 2.0, 3.0):
        engine.at(time, lambda: engine.end(ONE.key, "lost", error="killed"))
    (ended,) = watched.wait(100)
    assert (ended.outcome, ended.node) == ("failed", "n1")
    assert ended.error == "lost on node n1: killed, given up after 3 tries"
    assert (watched.retries, watched.wasted_seconds) == (2, 3.0)
    watched.submit(ONE)


def test_a_work_without_progress_is_submitted_anew_within_the_patience_and_a_look() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE)
    watched.submit(ONE)
    for time in range(1, 21):
        engine.at(float(time), engine.beat, ONE.key, time)
    assert watched.wait(20 + PATIENCE - 1) == []
    assert len(engine.submitted) == 1
    assert watched.wait(12) == []
    (_, again) = engine.submitted
    assert again[1] == ONE
    assert 20 + PATIENCE <= again[0] <= 20 + PATIENCE + 6
    assert [key for _, key in engine.cancelled] == [ONE.key]


def test_a_work_that_never_shows_progress_is_given_up() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE, retries=1)
    watched.submit(ONE)
    engine.at(0.0, engine.beat, ONE.key, 0, "n7")
    (ended,) = watched.wait(1000)
    assert (ended.outcome, ended.cause) == ("failed", "")
    # The second try did not even begin.
    assert ended.error == "no progress for 60 s, given up after 2 tries"
    assert 2 * PATIENCE <= watched.now() <= 2 * (PATIENCE + 5)
    assert watched.wasted_seconds == watched.now()
    assert ended.key not in engine.active


def test_the_node_that_hung_is_named() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE, retries=0)
    watched.submit(ONE)
    engine.at(0.0, engine.beat, ONE.key, 0, "n7")
    (ended,) = watched.wait(1000)
    assert ended.error == "no progress for 60 s on node n7, given up after 1 try"


def test_patience_begins_when_the_work_does() -> None:
    engine = Scripted(slots=1)
    watched = Watched(engine, PATIENCE)
    first, second = ONE, Work("m:f", {"n": 2})
    watched.submit(first)
    watched.submit(second)
    for time in range(0, 500, 10):
        engine.at(float(time), engine.beat, first.key, time)
    assert watched.wait(500) == []
    assert len(engine.submitted) == 2
    engine.at(500.0, engine.end, first.key)
    engine.at(501.0, engine.beat, second.key, 0)
    assert [e.key for e in watched.wait(10)] == [first.key]
    assert watched.wait(55) == []
    assert len(engine.submitted) == 2
    assert watched.wait(15) == []
    assert [work.key for _, work in engine.submitted[2:]] == [second.key]
    assert 60 <= watched.wasted_seconds <= 70


def test_a_long_absence_of_the_driver_is_no_standstill_of_a_work() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE)
    watched.submit(ONE)
    engine.beat(ONE.key, 1)
    assert watched.wait(1) == []
    engine.clock += 1000
    engine.beat(ONE.key, 2)
    assert watched.wait(1) == []
    assert len(engine.submitted) == 1


@pytest.mark.parametrize("late", ["done", "failed", "lost"])
def test_of_one_that_comes_back_late_the_first_end_counts(late: str) -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE)
    watched.submit(ONE)
    engine.at(PATIENCE + 20, lambda: engine.end(ONE.key, told={"x": 1}))
    engine.at(PATIENCE + 21, lambda: engine.end(ONE.key, late))
    (ended,) = watched.wait(200)
    assert (ended.outcome, ended.told) == ("done", {"x": 1})
    assert watched.wait(500) == []
    assert len(engine.submitted) == 2


def test_two_ends_that_come_together_are_one() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE)
    watched.submit(ONE)
    engine.end(ONE.key)
    engine.end(ONE.key, "failed")
    assert [e.outcome for e in watched.wait(1)] == ["done"]


@pytest.mark.parametrize("outcome", ["failed", "lost"])
def test_too_little_memory_is_tried_once_more_with_half_the_batch(outcome: str) -> None:
    engine, said = Scripted(), []
    watched = Watched(engine, PATIENCE, on_retry=lambda work, why: said.append(why))
    watched.submit(ONE)
    halved = Work("m:f", {"n": 1, "batch_share": 0.5})
    engine.at(5.0, lambda: engine.end(ONE.key, outcome, cause="memory", error="MemoryError"))
    engine.at(6.0, engine.beat, halved.key, 3)
    engine.at(8.0, lambda: engine.end(halved.key, told={"x": 1}))
    assert watched.wait(7) == []
    assert watched.beats() == {ONE.key: Beat(3, 100, 3, "n1")}
    (ended,) = watched.wait(100)
    assert (ended.key, ended.outcome, ended.told) == (ONE.key, "done", {"x": 1})
    assert [(work.key, work.label) for _, work in engine.submitted] == [
        (ONE.key, "train trial-3"),
        (halved.key, "train trial-3"),
    ]
    assert said == ["out of memory: MemoryError; trying half the batch"]
    assert (watched.retries, watched.wasted_seconds) == (1, 5.0)


def test_too_little_memory_for_half_the_batch_is_the_reason() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE)
    watched.submit(ONE)
    halved = Work("m:f", {"n": 1, "batch_share": 0.5})
    engine.at(1.0, lambda: engine.end(ONE.key, "failed", cause="memory", error="MemoryError"))
    engine.at(2.0, lambda: engine.end(halved.key, "lost", cause="memory", error="killed by SIGKILL"))
    (ended,) = watched.wait(100)
    assert (ended.key, ended.outcome, ended.cause) == (ONE.key, "failed", "memory")
    assert ended.error == "out of memory, with half the batch too: killed by SIGKILL"
    assert len(engine.submitted) == 2


def test_a_cancelled_work_is_forgotten() -> None:
    engine = Scripted()
    watched = Watched(engine, PATIENCE)
    watched.submit(ONE)
    watched.cancel(ONE.key)
    watched.cancel("unknown")
    engine.end(ONE.key)
    assert watched.wait(200) == []
    assert len(engine.submitted) == 1
    assert watched.capacity() == 9


def test_a_key_that_is_here_is_refused() -> None:
    watched = Watched(Scripted(), PATIENCE)
    watched.submit(ONE)
    with pytest.raises(ValueError, match=f"{ONE.key} .* is here already"):
        watched.submit(Work("m:f", {"n": 1}, {"else": "where"}))


WORKS = [Work("m:f", {"n": n}) for n in range(3)]
KEYS = [work.key for work in WORKS] + [Work("m:f", {"n": n, "batch_share": 0.5}).key for n in range(3)]
EVENTS = st.tuples(
    st.integers(0, 200),
    st.sampled_from(KEYS),
    st.sampled_from(["beat", "done", "failed", "lost", "memory", "memory lost"]),
)


@given(st.lists(EVENTS, max_size=25), st.integers(1, 3), st.integers(0, 2))
def test_whatever_happens_each_work_ends_once(events: list[tuple[int, str, str]], slots: int, retries: int) -> None:
    engine = Scripted(slots)
    watched = Watched(engine, PATIENCE, retries=retries)

    def happen(count: int, key: str, what: str) -> None:
        if what == "beat":
            if key in engine.active:
                engine.beat(key, count)
        else:
            cause = "memory" if what.startswith("memory") else ""
            engine.end(key, {"memory": "failed", "memory lost": "lost"}.get(what, what), cause=cause)

    for count, (time, key, what) in enumerate(events):
        engine.at(float(time), happen, count, key, what)
    for time in range(0, 3000, 100):  # a slot that is free is taken
        engine.at(float(time), lambda: [engine.beat(key, -2) for key in list(engine.active)[:slots]])
    for work in WORKS:
        watched.submit(work)
    told: Counter[str] = Counter()
    while engine.now() < 3000:
        ended = watched.wait(500)
        assert all(e.outcome != "lost" for e in ended)
        told.update(e.key for e in ended)
    assert told == Counter(work.key for work in WORKS)
    assert engine.active == {}
    assert watched.beats() == {}
    assert len(engine.submitted) == len(WORKS) + watched.retries
    assert watched.retries <= len(WORKS) * (retries + 1)
