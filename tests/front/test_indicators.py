import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pareto.front.indicators import expected_utility, hypervolume, igd_plus, spacing

NAN = math.nan


def points(m: int, most: int) -> st.SearchStrategy[NDArray[np.float64]]:
    # Some below the reference at 0, some on it, some repeated.
    return arrays(float, st.tuples(st.integers(0, most), st.just(m)), elements=st.integers(-4, 12).map(lambda k: k / 4))


def sweep_2d(values: NDArray[np.float64]) -> float:
    """Area above (0, 0): a staircase walked from the right."""
    area, height = 0.0, 0.0
    for x, y in sorted(values.tolist(), reverse=True):
        if x > 0 and y > height:
            area += x * (y - height)
            height = y
    return area


def inclusion_exclusion(values: NDArray[np.float64]) -> float:
    """Volume of a union of boxes from 0, by the volumes of all their intersections."""
    total = 0.0
    for size in range(1, len(values) + 1):
        for group in itertools.combinations(values, size):
            total -= (-1) ** size * np.prod(np.maximum(np.min(group, axis=0), 0))
    return total


@given(points(2, 12))
def test_hypervolume_in_the_plane(values: NDArray[np.float64]) -> None:
    assert hypervolume(values, [0, 0]) == pytest.approx(sweep_2d(values), abs=1e-9)


@given(st.integers(3, 4).flatmap(lambda m: points(m, 6)))
def test_hypervolume_in_more_dimensions(values: NDArray[np.float64]) -> None:
    assert hypervolume(values, [0] * values.shape[1]) == pytest.approx(inclusion_exclusion(values), abs=1e-9)


@given(points(3, 8), points(3, 1))
def test_hypervolume_never_falls_with_one_more_point(values: NDArray[np.float64], more: NDArray[np.float64]) -> None:
    assert hypervolume(np.vstack([values, more]), [0] * 3) >= hypervolume(values, [0] * 3) - 1e-12


@given(points(3, 8), st.randoms(use_true_random=False))
def test_no_indicator_depends_on_the_order_of_points(values: NDArray[np.float64], random: object) -> None:
    order = np.arange(len(values))
    random.shuffle(order)  # type: ignore[attr-defined]
    weights = np.eye(3)
    for indicator in (
        lambda v: hypervolume(v, [0] * 3),
        lambda v: igd_plus(v, np.eye(3)),
        lambda v: expected_utility(v, weights),
        spacing,
    ):
        assert indicator(values[order]) == pytest.approx(indicator(values))


def test_hypervolume_above_a_reference_below_zero() -> None:
    assert hypervolume([[0, 0]], [-2, -3]) == 6


@pytest.mark.parametrize("values", [np.empty((0, 2)), [[-1, 5]], [[0, 5]], [[NAN, 5]]])
def test_nothing_above_the_reference_has_no_hypervolume(values: NDArray[np.float64]) -> None:
    assert hypervolume(values, [0, 0]) == 0


def test_igd_plus_counts_shortfalls_only() -> None:
    target = [[4, 0], [0, 4]]
    # Short of the first by 1 and of the second by 3; being 1 better elsewhere costs nothing.
    assert igd_plus([[3, 1], [NAN, 9]], target) == pytest.approx((1 + 3) / 2)
    assert igd_plus([[5, 0], [0, 5]], target) == 0
    assert igd_plus(np.empty((0, 2)), target) == math.inf


def test_expected_utility_takes_each_users_best_point() -> None:
    weights = [[1, 0], [0, 1], [0.5, 0.5]]
    assert expected_utility([[2, 0], [0, 4], [NAN, 9]], weights) == pytest.approx((2 + 4 + 2) / 3)
    assert expected_utility(np.empty((0, 2)), weights) == -math.inf


def test_spacing_of_known_fronts() -> None:
    assert spacing([[0, 3], [1, 2], [2, 1], [3, 0]]) == 0
    # Nearest distances 2, 2, 4; the dominated point does not count.
    assert spacing([[0, 4], [1, 3], [3, 1], [0, 0]]) == pytest.approx(np.std([2, 2, 4], ddof=1))
    assert spacing([[1, 1], [0, 0]]) == 0
    assert spacing(np.empty((0, 2))) == 0
