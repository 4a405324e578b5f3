import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pareto.front.dominance import nondominated

# Few distinct values, so that ties and duplicates are common.
TABLES = st.tuples(st.integers(0, 12), st.integers(1, 5)).flatmap(
    lambda shape: arrays(float, shape, elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan]))
)


def brute_force(values: NDArray[np.float64]) -> list[bool]:
    rows = values.tolist()

    def dominates(a: list[float], b: list[float]) -> bool:
        return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))

    return [not any(map(math.isnan, row)) and not any(dominates(other, row) for other in rows) for row in rows]


@given(TABLES)
def test_agrees_with_the_definition(values: NDArray[np.float64]) -> None:
    assert nondominated(values).tolist() == brute_force(values)


@given(TABLES, st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_points(values: NDArray[np.float64], random: object) -> None:
    order = np.arange(len(values))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(nondominated(values[order]), nondominated(values)[order])


def test_copies_stay_together_and_missing_values_never_win() -> None:
    values = [[1, 0], [0, 1], [1, 0], [0, 0], [math.nan, 9]]
    assert nondominated(values).tolist() == [True, True, True, False, False]


def test_empty_set() -> None:
    assert nondominated(np.empty((0, 3))).shape == (0,)
