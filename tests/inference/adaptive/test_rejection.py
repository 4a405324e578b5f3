import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.inference.adaptive.rejection import Rejection, fit_rejection, promise, rejected


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=12), st.floats(0.01, 1.0))
def test_the_best_share_goes_on_and_never_nobody(utilities: list[float], share: float) -> None:
    on = Rejection(10, share).survivors(utilities)
    gone = set(range(len(utilities))) - set(on)
    assert len(on) >= 1
    assert len(on) - share * len(utilities) + 1e-9 >= 0 or len(on) == len(utilities)
    assert len(on) < share * len(utilities) + 1
    assert min(utilities[i] for i in on) >= max((utilities[i] for i in gone), default=-math.inf)


def test_failed_beginnings_go_first_and_of_equal_ones_the_later() -> None:
    assert Rejection(10, 0.5).survivors([math.nan, 1.0, -math.inf, 1.0, 1.0, 0.0]) == (1, 3, 4)
    assert Rejection(10, 0.1).survivors([math.nan, math.nan]) == (0,)


def test_what_is_reached_and_drawn_under_a_rule() -> None:
    # One order is like another where all answers of a pool are drawn.
    prefix = np.array([[3.0, 2.0, 1.0, 0.0]])
    utility = np.array([[0.0, 5.0, 9.0, 7.0]])
    tokens = np.array([[40.0, 30.0, 40.0, 10.0]])
    best, drawn = rejected(Rejection(10, 0.5), prefix, utility, tokens, n=4)
    # The last one has ended at 10 tokens: it is neither rejected nor one of the three of whom half go on.
    assert best.tolist() == [7.0]
    assert drawn.tolist() == [40 + 30 + 10 + 10]


def test_beginnings_that_tell_the_end_save_tokens_and_others_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    utility, tokens = rng.normal(size=(40, 32)), np.full((40, 32), 40.0)
    telling = fit_rejection({10: utility + 0.1 * rng.normal(size=utility.shape)}, utility, tokens)
    silent = fit_rejection({10: rng.normal(size=utility.shape)}, utility, tokens)
    assert telling.keep <= 0.25
    assert silent.keep == 1.0


def test_an_earlier_look_is_taken_where_it_tells_as_much() -> None:
    utility = np.random.default_rng(1).normal(size=(20, 16))
    rule = fit_rejection({5: utility, 20: utility}, utility, np.full((20, 16), 40.0))
    assert rule == Rejection(5, 0.125)


def test_promise_is_the_correlation_within_prompts() -> None:
    rng = np.random.default_rng(2)
    final = rng.normal(size=(50, 20))
    level = 100 * rng.normal(size=(50, 1))  # between prompts, which no selection sees
    assert promise(final + level, final - level) == pytest.approx(1.0)
    assert abs(promise(rng.normal(size=(50, 20)) + level, final + level)) < 0.1
    assert math.isnan(promise(np.ones((2, 3)), np.ones((2, 3))))


@pytest.mark.parametrize(("after", "keep"), [(0, 0.5), (10, 0.0), (10, 1.5), (10, math.nan)])
def test_rules_out_of_range_are_refused(after: int, keep: float) -> None:
    with pytest.raises(ParetoError, match="early rejection"):
        Rejection(after, keep)


def test_nothing_to_fit_to_is_refused() -> None:
    with pytest.raises(ParetoError, match="no utilities of beginnings"):
        fit_rejection({}, np.ones((4, 8)), np.ones((4, 8)))
