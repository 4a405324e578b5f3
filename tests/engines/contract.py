"""What every engine promises. An engine's tests inherit it and say what ``engine`` is: each test leaves it idle."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines.tasks import work

from pareto.engines import Ended, Engine, Work

PATIENCE = 60.0
"""Seconds in which something must have happened, on a busy machine too."""


def ends(engine: Engine, *works: Work) -> list[Ended]:
    """Submit works and wait for so many ends, in their order."""
    for one in works:
        engine.submit(one)
    return wait_ends(engine, len(works))


def wait_ends(engine: Engine, count: int) -> list[Ended]:
    told: list[Ended] = []
    until = time.monotonic() + PATIENCE
    while len(told) < count:
        assert time.monotonic() < until, told
        told += engine.wait(1.0)
    assert len(told) == count
    return told


def until(engine: Engine, condition: Callable[[], Any]) -> None:
    """Let the engine work until something holds; nothing may end meanwhile."""
    late = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < late
        assert engine.wait(0.02) == []


def blocked(engine: Engine, folder: Path, count: int) -> list[Work]:
    """So many works that run until there is a file ``go``, all of them under way."""
    place = [{"began": str(folder / f"began-{n}"), "go": str(folder / "go")} for n in range(count)]
    works = [work("wait_for", place=at, n=n) for n, at in enumerate(place)]
    for one in works:
        engine.submit(one)
    until(engine, lambda: all(Path(at["began"]).exists() and Path(at["began"]).read_text() for at in place))
    return works


class Contract:
    """For any engine with at least one slot that is not in use."""

    def test_what_a_task_returns_comes_back_under_the_key_of_its_work(self, engine: Engine) -> None:
        one = work("double", n=21)
        (ended,) = ends(engine, one)
        assert (ended.key, ended.outcome, ended.told["double"]) == (one.key, "done", 42)
        assert (ended.error, ended.cause) == ("", "")
        assert ended.node in {node.name for node in engine.nodes()}
        assert 0 <= ended.seconds < PATIENCE

    def test_data_comes_as_json_gives_it_back(self, engine: Engine) -> None:
        body = {"pair": (1, 2), "none": float("nan"), "text": "é\n\u2028", "number": 0.1 + 0.2}
        (ended,) = ends(engine, work("same", place={"folder": "/x"}, **body))
        assert ended.told == {
            "body": {"pair": [1, 2], "none": None, "text": "é\n\u2028", "number": 0.1 + 0.2},
            "place": {"folder": "/x"},
        }

    @pytest.mark.parametrize(
        ("one", "cause", "error"),
        [
            (work("refuse"), "user", "prompts.jsonl:3: no prompt; there must be one"),
            (work("err"), "bug", "ZeroDivisionError: two lines"),
            (work("exit"), "bug", "SystemExit: 3"),
            (work("exhaust", where="python"), "memory", "MemoryError"),
            (work("exhaust", where="gpu"), "memory", "OutOfMemoryError: CUDA out of memory"),
            (work("exhaust", where="cpu"), "memory", "RuntimeError: [enforce fail] DefaultCPUAllocator"),
            (work("give", what="infinity"), "bug", "ValueError: engines.tasks:give returned what is not plain data"),
            (work("give", what="object"), "bug", "TypeError: engines.tasks:give returned what is not plain data"),
            (work("give", what="list"), "bug", "TypeError: engines.tasks:give returned no mapping but list"),
            (work("give", what="none"), "bug", "TypeError: engines.tasks:give returned no mapping but NoneType"),
            (work("fail_to_say"), "bug", "Mute"),
            (work("nowhere"), "bug", "AttributeError: module 'engines.tasks' has no attribute 'nowhere'"),
            (Work("no.such:task", {}), "bug", "ModuleNotFoundError: No module named 'no'"),
        ],
        ids=lambda value: value.label if isinstance(value, Work) else "",
    )
    def test_a_task_that_raises_has_failed_and_the_engine_lives(
        self, engine: Engine, one: Work, cause: str, error: str
    ) -> None:
        (ended,) = ends(engine, one)
        assert (ended.key, ended.outcome, ended.cause, ended.told) == (one.key, "failed", cause, {})
        assert ended.error.startswith(error)
        assert "\n" not in ended.error
        assert bool(ended.trace) == (cause == "bug")
        assert ends(engine, work("double", n=1))[0].outcome == "done"

    def test_a_number_that_is_none_is_told_as_none(self, engine: Engine) -> None:
        assert ends(engine, work("give", what="nan"))[0].told == {"x": None, "y": [1, 2]}

    def test_any_text_and_large_results_come_back(self, engine: Engine) -> None:
        assert ends(engine, work("give", what="surrogate"))[0].told == {"x": "\ud800 \u2028 \n"}
        assert ends(engine, work("give", what="large"))[0].told == {"x": "y" * 3_000_000}

    def test_a_thousand_works_end_once_each(self, engine: Engine) -> None:
        works = [work("double", n=n) for n in range(1000)]
        told = ends(engine, *works)
        assert {e.key: e.told["double"] for e in told} == {w.key: 2 * w.body["n"] for w in works}
        assert engine.wait(0) == []

    def test_a_key_that_is_here_is_refused_until_it_was_told(self, engine: Engine) -> None:
        one = work("double", n=1)
        engine.submit(one)
        with pytest.raises(ValueError, match=f"{one.key} .* is here already"):
            engine.submit(work("double", place={"else": "where"}, n=1))
        wait_ends(engine, 1)
        assert ends(engine, one)[0].told["double"] == 2

    @pytest.mark.parametrize(
        ("body", "place", "error"), [({"n": {1}}, {}, TypeError), ({"n": 1}, {"x": float("inf")}, ValueError)]
    )
    def test_what_is_no_plain_data_is_refused(self, engine: Engine, body: Any, place: Any, error: Any) -> None:
        free = engine.capacity()
        with pytest.raises(error):
            engine.submit(work("double", place=place, **body))
        assert engine.capacity() == free
        assert ends(engine, work("double", n=1))[0].told["double"] == 2

    def test_capacity_and_nodes_count_the_same_slots(self, engine: Engine) -> None:
        assert engine.capacity() == sum(node.slots - node.busy for node in engine.nodes() if node.alive)
        free = engine.capacity()
        engine.submit(work("double", n=1))
        assert engine.capacity() == free - 1
        wait_ends(engine, 1)
        assert engine.capacity() == free
        assert engine.beats() == {}

    def test_waiting_takes_its_time_and_no_more(self, engine: Engine) -> None:
        began = engine.now()
        assert engine.wait(0.2) == []
        assert 0.2 <= engine.now() - began < PATIENCE


class Isolated(Contract):
    """For an engine that works in other processes, with two slots that are not in use."""

    def test_the_longest_of_those_that_wait_is_started_first(self, engine: Engine, tmp_path: Path) -> None:
        running = blocked(engine, tmp_path, 2)
        assert engine.capacity() == 0
        # One slot alone goes on, so that the order can be seen.
        place = {"file": str(tmp_path / "order")}
        sizes = {"short": 1.0, "long": 9.0, "middle": 5.0, "middle too": 5.0}
        for name, size in sizes.items():
            engine.submit(work("sign", size=size, place=place, name=name))
        engine.cancel(running[0].key)
        told = wait_ends(engine, 4)
        assert {e.outcome for e in told} == {"done"}
        assert (tmp_path / "order").read_text().splitlines() == ["long", "middle", "middle too", "short"]
        (tmp_path / "go").touch()
        assert [e.key for e in wait_ends(engine, 1)] == [running[1].key]

    def test_what_waits_can_be_cancelled(self, engine: Engine, tmp_path: Path) -> None:
        running = blocked(engine, tmp_path, 2)
        place = {"file": str(tmp_path / "order")}
        works = [work("sign", place=place, name=name) for name in ("a", "b", "c")]
        for one in works:
            engine.submit(one)
        engine.cancel(works[1].key)
        engine.cancel("0123456789abcdef")
        (tmp_path / "go").touch()
        assert {e.key for e in wait_ends(engine, 4)} == {w.key for w in running} | {works[0].key, works[2].key}
        assert engine.wait(0.1) == []
        assert sorted((tmp_path / "order").read_text().split()) == ["a", "c"]

    def test_what_runs_can_be_cancelled_and_its_slot_is_free(self, engine: Engine, tmp_path: Path) -> None:
        stopped, going = blocked(engine, tmp_path, 2)
        engine.cancel(stopped.key)
        until(engine, lambda: engine.capacity() == 1)
        assert list(engine.beats()) == [going.key]
        assert ends(engine, work("double", n=1))[0].told["double"] == 2
        (tmp_path / "go").touch()
        assert [e.key for e in wait_ends(engine, 1)] == [going.key]
        assert engine.wait(0.3) == []

    def test_a_cancelled_work_can_be_submitted_again(self, engine: Engine, tmp_path: Path) -> None:
        (one,) = blocked(engine, tmp_path, 1)
        engine.cancel(one.key)
        (tmp_path / "go").touch()
        assert [(e.key, e.outcome) for e in ends(engine, one)] == [(one.key, "done")]

    def test_beats_change_as_long_as_the_task_reports(self, engine: Engine, tmp_path: Path) -> None:
        (one,) = blocked(engine, tmp_path, 1)
        first = engine.beats()[one.key]
        until(engine, lambda: engine.beats()[one.key].count > first.count + 1)
        beat = engine.beats()[one.key]
        assert beat.done > first.done
        assert beat.total == 100_000
        assert beat.node in {node.name for node in engine.nodes()}
        (tmp_path / "go").touch()
        wait_ends(engine, 1)

    def test_a_work_has_a_beat_before_its_first_report(self, engine: Engine) -> None:
        one = work("report", times=1, pause=0.5)
        engine.submit(one)
        until(engine, lambda: one.key in engine.beats())
        wait_ends(engine, 1)

    @pytest.mark.parametrize("one", [work("die"), work("vanish", code=0), work("shut")], ids=lambda w: w.label)
    def test_a_task_that_takes_its_process_down_is_lost_and_the_slot_lives(self, engine: Engine, one: Work) -> None:
        free = engine.capacity()
        (ended,) = ends(engine, one)
        assert (ended.key, ended.outcome, ended.told, ended.cause) == (one.key, "lost", {}, "")
        assert ended.error
        until(engine, lambda: engine.capacity() == free)
        assert ends(engine, work("double", n=1))[0].told["double"] == 2

    def test_a_task_that_raises_keyboard_interrupt_has_failed(self, engine: Engine) -> None:
        (ended,) = ends(engine, work("interrupt"))
        assert (ended.outcome, ended.error) == ("failed", "KeyboardInterrupt")

    def test_a_task_that_talks_says_nothing_on_our_output(self, engine: Engine, capfd: Any) -> None:
        (ended,) = ends(engine, work("talk"))
        assert ended.told == {"read": ""}
        assert capfd.readouterr().out == ""

    def test_a_task_that_forks_ends_once(self, engine: Engine) -> None:
        (ended,) = ends(engine, work("fork"))
        assert ended.outcome == "done"
        assert engine.wait(0.3) == []
        assert ends(engine, work("double", n=1))[0].told["double"] == 2

    def test_a_thread_left_behind_is_no_progress_of_the_next_work(self, engine: Engine, tmp_path: Path) -> None:
        for n in range(2):
            ends(engine, work("leave_thread", n=n))
        (tmp_path / "go").touch()
        one = work("report", times=3, pause=0.2)
        engine.submit(one)
        until_counted = []
        while not (told := engine.wait(0.05)):
            until_counted += [engine.beats()[one.key]] if one.key in engine.beats() else []
        assert told[0].outcome == "done"
        assert {beat.total for beat in until_counted} <= {0, 3}

    def test_what_was_loaded_stays_for_the_next_work(self, engine: Engine) -> None:
        told = [ends(engine, work("load", n=n))[0].told["first"] for n in range(8)]
        assert len(set(told)) <= 2
