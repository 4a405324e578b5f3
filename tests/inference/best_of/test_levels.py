"""Priorities on the answers to one prompt, against the rule written down by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.choice.levels import parse_levels
from pareto.front.frame import Frame
from pareto.inference.best_of.levels import sift

NAN = float("nan")
FRAME = Frame(("kind", "short", "length"), (1.0, 1.0, -1.0), (0.5, 0.5, 20.0), (0.1, 0.2, 10.0), (-1.0,) * 3)


def sifted(values: list[list[float]], text: str, failed: list[tuple[int, int]] = ()) -> tuple[list[int], list]:
    table = np.array(values, dtype=float)
    marks = np.zeros(table.shape, dtype=bool)
    for at in failed:
        marks[at] = True
    left, broken = sift(table, marks, parse_levels(text, FRAME.objectives), FRAME)
    return left.tolist(), broken


def test_without_levels_everything_is_left() -> None:
    assert sifted([[0, 0, 0], [1, 1, 1]], "") == ([0, 1], [None, None])


def test_a_threshold_holds_on_the_answer_s_own_value_whatever_the_confidence() -> None:
    for confidence in ("", "@0.99", "@mean"):
        left, broken = sifted([[0.9, 0, 0], [0.89, 1, 0]], f"kind>=0.9{confidence}")
        assert left == [0]
        assert broken == [None, "level 1: kind is 0.89, wanted 0.9 or more"]


def test_a_minimised_objective_is_held_from_above() -> None:
    left, broken = sifted([[0, 0, 41], [0, 0, 40]], "length<=40")
    assert left == [1]
    assert broken[0] == "level 1: length is 41, wanted 40 or less"
    assert sifted([[0, 0, 12], [0, 0, 10], [0, 0, 15]], "length~2")[0] == [0, 1]


def test_a_distance_is_to_the_best_that_the_levels_above_left() -> None:
    values = [[0.2, 1.0, 0], [0.9, 0.6, 0], [0.95, 0.45, 0], [0.9, 0.55, 0]]
    left, broken = sifted(values, "kind>=0.5;short~0.1")
    assert left == [1, 3]
    assert broken[0].startswith("level 1: kind is 0.2")
    assert broken[2] == "level 2: short is 0.45, wanted within 0.1 of the best, 0.6"


def test_where_no_answer_keeps_a_level_the_nearest_go_on_and_lower_levels_still_count() -> None:
    values = [[0.3, 0.9, 0], [0.4, 0.1, 0], [0.4, 0.9, 0]]
    left, broken = sifted(values, "kind>=0.5;short>=0.5")
    assert left == [2]
    assert broken[2] == "level 1: kind is 0.4, wanted 0.5 or more"
    assert broken[1] == "level 1: kind is 0.4, wanted 0.5 or more"


def test_misses_of_two_rules_are_compared_in_the_base_s_standard_deviations() -> None:
    # 0.1 of kind is one standard deviation, 0.1 of short half of one.
    assert sifted([[0.4, 0.9, 0], [0.9, 0.4, 0]], "kind>=0.5,short>=0.5")[0] == [1]


def test_what_is_not_measured_counts_as_missed_unless_it_applies_to_no_answer() -> None:
    left, broken = sifted([[NAN, 1, 0], [0.1, 0, 0]], "kind>=0.5")
    assert left == [1]
    assert broken[0] == "level 1: kind is not measured, wanted 0.5 or more"
    assert sifted([[NAN, 1, 0], [NAN, 0, 0]], "kind>=0.5") == ([0, 1], [None, None])
    left, broken = sifted([[NAN, 1, 0], [NAN, 0, 0]], "kind>=0.5", failed=[(1, 0)])
    assert left == [0, 1]  # nobody knows which is nearer
    assert all("not measured" in b for b in broken)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 40)), min_size=1, max_size=12),
    st.floats(0, 1),
    st.floats(0, 40),
)
def test_no_answer_that_breaks_a_level_is_left_while_one_keeps_it(
    rows: list[tuple[float, float, float]], least: float, most: float
) -> None:
    left, broken = sifted([list(r) for r in rows], f"kind>={least!r};length<={most!r}")
    assert left
    first = [i for i, r in enumerate(rows) if r[0] >= least - 1e-9]
    if first:
        assert set(left) <= set(first)
        both = [i for i in first if rows[i][2] <= most + 1e-8]
        if both:
            assert set(left) == set(both)
            assert all(broken[i] is None for i in both)
    else:
        nearest = max(r[0] for r in rows)
        assert all(rows[i][0] == pytest.approx(nearest, abs=1e-8) for i in left)
        assert all(b is not None and b.startswith("level 1") for b in broken)
