import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.inference.adaptive.curve import best_of_curve, selected_curve

few = st.lists(st.integers(-3, 3) | st.floats(-100, 100), min_size=1, max_size=9)
"""Whole numbers among them, so that scores tie."""


@given(few)
def test_the_curve_is_the_mean_over_all_subsets(scores: list[float]) -> None:
    ks = range(1, len(scores) + 1)
    wanted = [np.mean([max(subset) for subset in combinations(scores, k)]) for k in ks]
    np.testing.assert_allclose(best_of_curve(scores, ks), wanted, rtol=0, atol=1e-9)


@given(st.lists(st.tuples(st.integers(-2, 2), st.floats(-10, 10)), min_size=1, max_size=8))
def test_the_gold_of_what_a_proxy_selects_is_the_mean_over_all_subsets_and_ties(pairs: list[tuple[int, float]]) -> None:
    proxy, gold = zip(*pairs, strict=True)
    ks = range(1, len(pairs) + 1)

    def selected(subset: tuple[int, ...]) -> float:
        best = max(proxy[i] for i in subset)
        return float(np.mean([gold[i] for i in subset if proxy[i] == best]))

    wanted = [np.mean([selected(subset) for subset in combinations(range(len(pairs)), k)]) for k in ks]
    np.testing.assert_allclose(selected_curve(proxy, gold, ks), wanted, rtol=0, atol=1e-9)


def test_prompts_are_told_apart() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 6))
    rows = [best_of_curve(row, [1, 3, 6]) for row in scores]
    np.testing.assert_allclose(best_of_curve(scores, [1, 3, 6]), rows)


def test_large_pools_do_not_overflow() -> None:
    # Of 0 … N − 1 the largest of k is (k (N + 1) / (k + 1)) − 1 on average.
    n, ks = 20_000, (1, 8, 1000, 20_000)
    wanted = [k * (n + 1) / (k + 1) - 1 for k in ks]
    np.testing.assert_allclose(best_of_curve(np.arange(n), ks), wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("scores", "k", "told"),
    [([1.0, 2.0], 3, "from 1 to 2"), ([1.0], 0, "best of 0"), ([math.nan], 1, "NaN"), ([], 1, "wanted")],
)
def test_what_cannot_be_told_is_refused(scores: list[float], k: int, told: str) -> None:
    with pytest.raises(ParetoError, match=told):
        best_of_curve(scores, [k])
