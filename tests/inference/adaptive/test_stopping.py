import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm, t

from pareto.errors import ParetoError
from pareto.inference.adaptive.stopping import PRIOR, PassFail, Stopping, improvement

some = st.lists(st.floats(-5, 5), min_size=3, max_size=12)


def test_the_improvement_is_the_integral_of_the_prediction_above_the_best() -> None:
    drawn, spread = [0.3, -0.2, 1.1, 0.4], 0.8
    n, squares = 4, np.var(drawn) * 4 + PRIOR * spread**2
    freedom = PRIOR + n - 1
    predicted = t(freedom, loc=np.mean(drawn), scale=math.sqrt(squares / freedom * (1 + 1 / n)))
    wanted = quad(lambda x: (x - max(drawn)) * predicted.pdf(x), max(drawn), np.inf)[0]
    assert improvement(drawn, spread)[-1] == pytest.approx(wanted, rel=1e-6)


@given(some)
def test_each_step_is_what_is_known_after_it(drawn: list[float]) -> None:
    every = improvement(drawn, 1.0)
    for n in range(1, len(drawn) + 1):
        assert every[n - 1] == pytest.approx(improvement(drawn[:n], 1.0)[-1], rel=1e-9, abs=1e-12)


@given(some, st.floats(0.1, 10), st.floats(-100, 100))
def test_units_and_level_of_utility_do_not_matter(drawn: list[float], unit: float, level: float) -> None:
    there = improvement(np.asarray(drawn) * unit + level, unit)
    np.testing.assert_allclose(there, improvement(drawn, 1.0) * unit, rtol=1e-6, atol=1e-6 * unit)


def test_with_many_answers_it_stops_where_pandora_does() -> None:
    # Known distribution: the price at which another answer just pays is E[(X − best)+].
    rng = np.random.default_rng(0)
    drawn = rng.normal(2.0, 3.0, size=5000)
    z = (drawn.max() - 2.0) / 3.0
    fair = 3.0 * (norm.pdf(z) - z * norm.sf(z))
    assert Stopping(fair * 1.15, cap=10_000).enough(drawn.tolist(), None)
    assert not Stopping(fair / 1.15, cap=10_000).enough(drawn.tolist(), None)


def test_stopping_at_a_price_comes_close_to_the_rule_that_knows_the_distribution() -> None:
    rng, price, cap = np.random.default_rng(1), 0.1, 60
    drawn = rng.normal(size=(2000, cap))
    best = np.maximum.accumulate(drawn, axis=1)
    known = norm.pdf(best) - best * norm.sf(best)

    def net(expected: np.ndarray) -> float:
        n = ((expected < price) | (np.arange(cap) == cap - 1)).argmax(axis=1)
        return float((best[np.arange(2000), n] - price * (n + 1)).mean())

    assert 0.75 * net(known) < net(improvement(drawn, np.ones(2000))) < net(known)
    assert 0.6 * net(known) < net(improvement(drawn)) < net(known)


def test_answers_that_are_alike_end_it_unless_a_spread_is_predicted() -> None:
    rule = Stopping(price=0.05, cap=16)
    assert not rule.enough([1.0, 1.0], None)  # two tell too little
    assert rule.enough([1.0, 1.0, 1.0], None)
    assert not rule.enough([1.0, 1.0, 1.0], 1.0)


def test_it_asks_for_the_least_and_never_passes_the_cap() -> None:
    assert not Stopping(price=100, cap=16, least=3).enough([0.0, 1.0], 1.0)
    assert Stopping(price=100, cap=16, least=3).enough([0.0, 1.0, 2.0], 1.0)
    assert Stopping(price=0, cap=3).enough([0.0, 1.0, 5.0], 1.0)
    assert not Stopping(price=0, cap=4).enough([0.0, 1.0, 5.0], 1.0)


def test_failed_answers_count_as_drawn_and_tell_nothing() -> None:
    rule = Stopping(price=0.01, cap=4)
    assert not rule.enough([-math.inf, math.nan, -math.inf], 1.0)
    assert rule.enough([-math.inf, math.nan, -math.inf, 0.0], 1.0)
    assert rule.enough([0.0, 0.0, 0.0, math.nan], None)


def test_a_pass_ends_it() -> None:
    rule = PassFail(passed=1.0, cap=4)
    assert not rule.enough([0.0, 0.0], None)
    assert rule.enough([0.0, 1.0], None)
    assert rule.enough([0.0] * 4, None)


@pytest.mark.parametrize(
    ("price", "cap", "least"), [(-1, 4, 2), (math.nan, 4, 2), (math.inf, 4, 2), (1, 0, 2), (1, 4, 0)]
)
def test_terms_out_of_range_are_refused(price: float, cap: int, least: int) -> None:
    with pytest.raises(ParetoError, match="stopping"):
        Stopping(price, cap, least)
