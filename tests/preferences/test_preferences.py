"""From scores to comparisons, against brute force over all pairings."""

from __future__ import annotations

from itertools import combinations
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.config import Training
from pareto.preferences import compare, scalarise
from pareto.records import Rollout
from pareto.simplex import das_dennis

NAN = float("nan")
numbers = st.integers(-40, 40).map(lambda i: i / 8)  # exact in binary


def pool(*sizes: int) -> list[Rollout]:
    """Prompts of these many candidates, all different."""
    return [
        Rollout(f"p{p}", k, "sampled", 1, f"t{k}", (p, k), 0.0) for p, size in enumerate(sizes) for k in range(size)
    ]


def largest_total(values: list[float], pairs: int) -> float:
    """The largest sum of margins of that many pairs without a common member, by trying all."""
    if pairs == 0:
        return 0.0
    best = -inf
    for i, j in combinations(range(len(values)), 2):
        rest = [v for k, v in enumerate(values) if k not in (i, j)]
        best = max(best, abs(values[i] - values[j]) + largest_total(rest, pairs - 1))
    return best


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=6), st.integers(1, 3), st.integers(0, 4))
def test_pairs_have_the_largest_margins_of_all_pairings(scores: list[tuple[float, float]], pairs: int, w: int) -> None:
    weights = (w / 4, 1 - w / 4)
    values = [weights[0] * a + weights[1] * b for a, b in scores]
    pairs = min(pairs, len(values) // 2)
    training = Training(pairs_per_prompt=pairs, min_margin=0.0)
    made = compare(pool(len(values)), np.array(scores), weights, training)
    assert sum(c.margin for c in made) == pytest.approx(largest_total(values, pairs))
    members = [i for c in made for i in (c.chosen, c.rejected)]
    assert len(set(members)) == len(members)
    for c in made:
        assert c.margin == pytest.approx(values[c.chosen] - values[c.rejected])
        assert c.margin > 0
    assert [c.margin for c in made] == sorted((c.margin for c in made), reverse=True)


def test_pairs_stay_within_a_prompt_and_in_the_order_of_the_pool() -> None:
    scores = np.array([[0.0], [9.0], [1.0], [5.0], [-7.0], [3.0], [4.0]])
    made = compare(pool(3, 4), scores, (1.0,), Training(pairs_per_prompt=2, min_margin=0.0))
    assert [(c.prompt_id, c.chosen, c.rejected, c.margin) for c in made] == [
        ("p0", 1, 0, 9.0),
        ("p1", 3, 4, 12.0),
        ("p1", 6, 5, 1.0),
    ]


def test_close_calls_and_equal_texts_are_left_out() -> None:
    scores = np.array([[0.0], [0.5], [0.0], [0.51], [0.0], [2.0]])
    candidates = pool(2, 2, 2)
    same = [*candidates[:5], Rollout("p2", 1, "sampled", 2, "t0", candidates[4].token_ids, 0.0)]
    made = compare(same, scores, (1.0,), Training(min_margin=0.5))
    assert [(c.chosen, c.rejected) for c in made] == [(3, 2)]


@given(
    st.lists(st.tuples(numbers, numbers, st.sampled_from([True, False])), min_size=1, max_size=5),
    st.sampled_from(["weighted_sum", "chebyshev"]),
)
def test_an_objective_that_does_not_apply_adds_nothing(rows: list[tuple[float, float, bool]], kind: str) -> None:
    training = Training.model_validate({"scalarisation": kind})
    scores = np.array([[a, NAN if masked else b] for a, b, masked in rows])
    values = scalarise(scores, (0.25, 0.75), training)
    # What is left when the masked objective is struck out, with the ideal of the rows to which it applies.
    ideal = [max(a for a, _, _ in rows), max((b for _, b, masked in rows if not masked), default=0.0)]
    for value, (a, b, masked) in zip(values, rows, strict=True):
        terms = [0.25 * a] if masked else [0.25 * a, 0.75 * b]
        gaps = [0.25 * (ideal[0] - a)] if masked else [0.25 * (ideal[0] - a), 0.75 * (ideal[1] - b)]
        expected = sum(terms) if kind == "weighted_sum" else -max(gaps) - training.rho * sum(gaps)
        assert value == pytest.approx(expected)


def test_chebyshev_finds_the_compromise_that_no_weighted_sum_finds() -> None:
    scores = np.array([[1.0, 0.0], [0.4, 0.4], [0.0, 1.0]])  # the middle one lies in a dent of the front
    best = {
        kind: {
            int(scalarise(scores, w, Training.model_validate({"scalarisation": kind})).argmax())
            for w in das_dennis(2, 20)
        }
        for kind in ("weighted_sum", "chebyshev")
    }
    assert best == {"weighted_sum": {0, 2}, "chebyshev": {0, 1, 2}}
    made = compare(pool(3), scores, (0.5, 0.5), Training(scalarisation="chebyshev", pairs_per_prompt=1))
    assert made[0].chosen == 1


@pytest.mark.parametrize("how", ["weighted_sum", "chebyshev"])
def test_a_candidate_that_a_reward_failed_on_is_in_no_comparison(how: str) -> None:
    scores = np.array([[1.0, 5.0], [NAN, 9.0], [-1.0, 0.0]])
    training = Training(pairs_per_prompt=1, min_margin=0.0, scalarisation=how)
    (made,) = compare(pool(3), scores, (0.5, 0.5), training)
    assert (made.chosen, made.rejected) == (0, 2)
    # An objective without weight excludes nobody.
    (made,) = compare(pool(3), scores, (0.0, 1.0), training)
    assert (made.chosen, made.rejected) == (1, 2)
