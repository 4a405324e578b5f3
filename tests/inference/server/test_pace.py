"""Estimates of when to come again, against a queue that is served at a known pace."""

from __future__ import annotations

import pytest

from pareto.inference.server.pace import LONGEST, SHORTEST, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ended(pace: Pace, clock: Clock, number: int, each: float) -> None:
    for _ in range(number):
        clock.now += each
        pace.end()


@pytest.mark.parametrize("number", [1, 10, 100])
def test_half_of_those_ahead_have_ended_by_then(number: int) -> None:
    clock = Clock()
    pace = Pace(clock)
    ended(pace, clock, number, 0.4)
    assert pace.patience(256) == pytest.approx(256 * 0.4 / 2)
    assert pace.patience(0) == SHORTEST
    assert pace.patience(10_000) == LONGEST


def test_a_quiet_night_does_not_count() -> None:
    clock = Clock()
    pace = Pace(clock)
    ended(pace, clock, 40, 0.2)
    clock.now += 8 * 3600
    pace.begin()
    assert pace.patience(100) == pytest.approx(10)
    ended(pace, clock, 1, 0.5)
    assert pace.patience(100) == pytest.approx(25)


def test_while_nothing_ends_the_estimate_grows() -> None:
    clock = Clock()
    pace = Pace(clock)
    ended(pace, clock, 4, 0.5)
    clock.now += 8
    assert pace.patience(8) == pytest.approx(10 / 4 * 8 / 2)
