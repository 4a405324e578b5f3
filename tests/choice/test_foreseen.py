"""Priorities put to predictions, against numbers worked out by hand and against the map's own constraint."""

from __future__ import annotations

from pathlib import Path

import frontier_runs as runs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.choice.candidates import Candidates
from pareto.choice.foreseen import bests, doubts
from pareto.choice.levels import parse_levels
from pareto.choice.priorities import judge
from pareto.soups.frontier_map import limits

NAMES = ("kind", "words")
MEAN, STD = {"kind": 0.8, "words": 12.0}, {"kind": 0.1, "words": 2.0}


def told(rules: str, known=(), mean=MEAN, std=STD) -> list[str]:
    return [d.text() for d in doubts(parse_levels(rules, NAMES), ["words"], mean, std, known)]


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("kind>=0.8@mean", []),
        ("kind>=0.81@mean", ["kind 0.8, at least 0.81 wanted"]),
        ("words<=12@mean", []),
        ("words<=11.5@mean", ["words 12, at most 11.5 wanted"]),
        ("kind>=0.63", []),  # 0.8 − 1.645 · 0.1 = 0.6355
        ("kind>=0.64", ["kind 0.8, at least 0.64 wanted, but not surely"]),
        ("kind>=0.64@0.9", []),  # 0.8 − 1.282 · 0.1 = 0.672
        ("words<=15", ["words 12, at most 15 wanted, but not surely"]),  # 12 + 1.645 · 2 = 15.3
        ("words<=15.3", []),
        ("kind>=0.9@mean;words<=1@mean", ["kind 0.8, at least 0.9 wanted", "words 12, at most 1 wanted"]),
        ("kind~0.1@mean", []),  # nothing is known of the best
    ],
)
def test_a_threshold_is_held_against_the_mean_and_where_a_level_is_to_be_sure_against_its_bound(
    rules: str, says: list[str]
) -> None:
    assert told(rules) == says


def test_a_distance_is_to_the_best_that_enters_its_level() -> None:
    known = [{"kind": 0.95}, {"words": 9.0}]
    assert told("kind~0.2@mean;words~3.5@mean", known) == []
    assert told("kind~0.1@mean;words~2@mean", known) == [
        "kind 0.8, at least 0.85 wanted",
        "words 12, at most 11 wanted",
    ]


def test_a_prediction_without_a_number_keeps_nothing() -> None:
    nan = float("nan")
    assert told("kind>=0@mean", mean={"kind": nan, "words": 1.0}) == ["kind nan, at least 0 wanted"]
    assert told("kind>=0@mean", std={"kind": nan, "words": 1.0}) == []
    assert told("kind>=0", std={"kind": nan, "words": 1.0}) == ["kind 0.8, at least 0 wanted, but not surely"]


@given(
    st.floats(0, 1),
    st.floats(0, 40),
    st.floats(0, 0.3),
    st.floats(0, 5),
    st.sampled_from(["", "@mean", "@0.8", "@0.99"]),
)
def test_thresholds_are_those_that_the_map_searches_under(a: float, b: float, s: float, t: float, at: str) -> None:
    from pareto.front.frame import Frame

    frame = Frame(NAMES, (1.0, -1.0), (0.5, 20.0), (0.2, 5.0), (-2.0, -2.0))
    levels = parse_levels(f"kind>={a!r}{at};words<={b!r}{at}", NAMES)
    z, std = frame.normalise(np.array([MEAN["kind"], MEAN["words"]])), np.array([s, t]) / frame.scale
    short = [limit.least - (z[limit.objective] - limit.z * std[limit.objective]) for limit in limits(frame, levels)]
    found = {d.objective for d in doubts(levels, ["words"], MEAN, {"kind": s, "words": t})}
    for name, missing in zip(NAMES, short, strict=True):
        if abs(missing) > 1e-7:
            assert (name in found) == (missing > 0)


def test_the_best_of_each_level_is_sought_among_what_the_levels_above_leave(tmp_path: Path) -> None:
    run = runs.make(tmp_path)
    verdict = judge(Candidates.of(run), parse_levels("words<=15@mean;kind~0.1@mean", runs.NAMES))
    first, second = bests(verdict)
    means = {id: runs.truth(c) for id, c in ((i, c) for i, (_, c) in runs.SOUPS.items())}
    means |= {runs.KIND: runs.truth({runs.KIND: 1.0}), runs.TERSE: runs.truth({runs.TERSE: 1.0})}
    assert first == pytest.approx(
        {"kind": max(k for k, _ in means.values()), "words": min(w for _, w in means.values())}
    )
    assert second["kind"] == pytest.approx(max(k for k, w in means.values() if w <= 15))
