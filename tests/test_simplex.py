import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from pareto import simplex
from pareto.errors import ParetoError

NAMES = ("harmless", "honest", "helpful")


def test_missing_weights_are_zero_and_the_order_is_that_of_the_objectives():
    assert simplex.check_weights({"helpful": 0.25, "harmless": 0.75}, NAMES) == (0.75, 0.0, 0.25)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"helpfull": 1.0}, "unknown objective 'helpfull'; did you mean 'helpful'"),
        ({"helpful": 1.5, "honest": -0.5}, "honest=-0.5 is negative"),
        ({"helpful": 0.5, "honest": 0.4}, "helpful=0.5,honest=0.4 sums to 0.9, not 1"),
        ({"helpful": math.nan, "honest": 1.0}, "helpful=nan is not a finite number"),
        ({"helpful": math.inf}, "helpful=inf is not a finite number"),
        ({}, "sums to 0, not 1"),
    ],
)
def test_wrong_weights_are_refused_with_what_is_wrong(weights, message):
    with pytest.raises(ParetoError) as error:
        simplex.check_weights(weights, NAMES)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_are_read_as_typed_on_the_command_line():
    assert simplex.parse_weights("helpful=.5, harmless=.5", NAMES) == (0.5, 0.0, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("helpful=.5,helpful=.5", "'helpful' is given twice"),
        ("helpful", "'helpful' is not name=number"),
        ("", "'' is not name=number"),
        ("=1", "'=1' is not name=number"),
        ("helpful=half", "'half' in 'helpful=half' is not a number"),
        ("helpful=.7", "sums to 0.7"),
    ],
)
def test_malformed_weights_are_refused_with_what_is_wrong(text, message):
    with pytest.raises(ParetoError) as error:
        simplex.parse_weights(text, NAMES)
    assert message in str(error.value)


def test_das_dennis_is_every_multiple_of_the_partition():
    thirds = {(a / 3, b / 3, (3 - a - b) / 3) for a in range(4) for b in range(4 - a)}
    got = simplex.das_dennis(3, 3)
    assert {tuple(np.round(w, 12)) for w in got} == {tuple(np.round(w, 12)) for w in thirds}


def test_energy_gives_any_number_of_points_and_the_same_again():
    points = simplex.energy(3, 7, seed=1)
    assert points.shape == (7, 3)
    assert np.allclose(points.sum(axis=1), 1)
    assert points.min() >= 0
    assert np.array_equal(points, simplex.energy(3, 7, seed=1))


def test_uniform_sticks_are_uniform_weights():
    # Under Dirichlet(1, …, 1) every weight is Beta(1, m - 1) and the weights are exchangeable.
    u = np.random.default_rng(0).random((4000, 3))
    w = np.array([simplex.from_sticks(row) for row in u])
    for k in range(4):
        assert kstest(w[:, k], "beta", args=(1, 3)).pvalue > 0.01


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.floats(0, 1), min_size=n, max_size=n)))
def test_sticks_give_a_point_of_the_simplex(u):
    w = simplex.from_sticks(u)
    assert w.min() >= 0
    assert math.isclose(w.sum(), 1, abs_tol=1e-12)


@given(st.lists(st.integers(0, 20), min_size=2, max_size=5).filter(any))
def test_sticks_and_weights_are_a_bijection_with_zeros_and_corners(parts):
    w = np.array(parts) / sum(parts)
    u = simplex.to_sticks(w)
    assert u.min() >= 0
    assert u.max() <= 1
    assert np.allclose(simplex.from_sticks(u), w, atol=1e-9)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_corners_survive_the_round_trip_exactly(m):
    for corner in simplex.corners(m):
        assert np.array_equal(simplex.from_sticks(simplex.to_sticks(corner)), corner)
