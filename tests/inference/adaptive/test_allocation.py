import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from pareto.errors import ParetoError
from pareto.inference.adaptive.allocation import allocate, gaussian_best, marginal_gain, worth


def test_the_best_of_gaussians_is_the_integral_of_their_maximum() -> None:
    for n in (1, 2, 5, 16):
        wanted = quad(lambda x, n=n: x * n * norm.pdf(x) * norm.cdf(x) ** (n - 1), -12, 12, epsabs=1e-12)[0]
        assert gaussian_best(16)[n - 1] == pytest.approx(wanted, abs=1e-9)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=4), st.floats(1, 5))
def test_no_other_allocation_of_the_budget_is_expected_to_bring_more(spread: list[float], budget: float) -> None:
    best = gaussian_best(5)

    def brings(counts: tuple[int, ...]) -> float:
        return sum(s * best[n - 1] for s, n in zip(spread, counts, strict=True))

    counts = tuple(allocate(spread, budget, cap=5).tolist())
    affordable = [c for c in product(range(1, 6), repeat=len(spread)) if sum(c) <= budget * len(spread) + 1e-9]
    assert counts in affordable
    assert brings(counts) == pytest.approx(max(map(brings, affordable)))


def test_equal_prompts_get_equal_counts() -> None:
    assert allocate([0.3] * 10, 7.1, cap=16).tolist() == [8] + [7] * 9
    assert allocate([0.3] * 10, 8, cap=16).tolist() == [8] * 10


def test_wider_prompts_get_more_within_least_and_cap() -> None:
    counts = allocate([0.0, 0.01, 1.0, 5.0, 500.0], 6, cap=16, least=2)
    assert counts.tolist() == sorted(counts.tolist())
    assert counts.sum() == 30
    assert counts[0] == 2
    assert counts[-1] == 16


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=12), st.floats(1.5, 8))
def test_at_the_price_of_a_budget_prompts_get_what_the_budget_gives_them(spread: list[float], budget: float) -> None:
    price = marginal_gain(spread, budget, cap=8)
    counts = [worth(s, price, cap=8) for s in spread]
    given_by_budget = allocate(spread, budget, cap=8).tolist()
    # Of equal gains the budget pays some, the price all.
    assert all(a >= b for a, b in zip(counts, given_by_budget, strict=True))
    dearer = [worth(s, price * (1 + 1e-9), cap=8) for s in spread]
    assert all(a <= b for a, b in zip(dearer, given_by_budget, strict=True))


def test_without_a_budget_no_second_answer_is_worth_its_price() -> None:
    assert marginal_gain([1.0, 2.0], 1, cap=8) == math.inf
    assert worth(1e6, math.inf, cap=8) == 1


def test_nothing_is_drawn_for_prompts_whose_answers_are_alike() -> None:
    assert allocate([0.0, 0.0], 8, cap=16).tolist() == [1, 1]
    assert allocate([], 8, cap=16).tolist() == []


@pytest.mark.parametrize(
    ("spread", "budget", "cap", "told"),
    [
        ([1.0], 0, 4, "wanted 1 to 4"),
        ([1.0], 5, 4, "wanted 1 to 4"),
        ([math.nan], 2, 4, "NaN"),
        ([-1.0], 2, 4, "negative"),
    ],
)
def test_what_cannot_be_allocated_is_refused(spread: list[float], budget: float, cap: int, told: str) -> None:
    with pytest.raises(ParetoError, match=told):
        allocate(spread, budget, cap)
