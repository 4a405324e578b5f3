import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.inference.adaptive.kl import best_of_kl, best_of_kl_with_ties


def enumerated(n: int, policy: list[float], utility: list[int]) -> float:
    """By every tuple of n completions; the first of the best is selected."""
    selected = np.zeros(len(policy))
    for drawn in product(range(len(policy)), repeat=n):
        selected[max(drawn, key=lambda i: utility[i])] += math.prod(policy[i] for i in drawn)
    return sum(q * math.log(q / p) for q, p in zip(selected, policy, strict=True) if q)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0.05, 1.0), st.integers(0, 2)), min_size=1, max_size=5),
)
def test_with_ties_it_is_that_of_all_draws(n: int, completions: list[tuple[float, int]]) -> None:
    total = sum(p for p, _ in completions)
    policy, utility = [p / total for p, _ in completions], [u for _, u in completions]
    groups = [sum(p for p, u in zip(policy, utility, strict=True) if u == level) for level in sorted(set(utility))]
    exact = best_of_kl_with_ties(n, groups)
    assert exact == pytest.approx(enumerated(n, policy, utility), abs=1e-12)
    assert exact <= best_of_kl(n) + 1e-12


def test_without_ties_the_formula_is_the_limit_of_ever_finer_groups() -> None:
    assert best_of_kl_with_ties(8, np.full(100_000, 1e-5)) == pytest.approx(best_of_kl(8), abs=1e-4)
    assert best_of_kl(1) == 0
    assert best_of_kl(8) == pytest.approx(math.log(8) - 7 / 8)


def test_no_answers_and_no_distribution_are_refused() -> None:
    with pytest.raises(ParetoError, match="at least 1"):
        best_of_kl(0)
    with pytest.raises(ParetoError, match="sum to 1"):
        best_of_kl_with_ties(2, [0.5, 0.2])
