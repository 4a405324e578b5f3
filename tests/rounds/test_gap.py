"""Gains and gaps against numbers that can be worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pareto.rounds.gap import Measured, agreement, outcome

HOW = {"resamples": 400, "confidence": 0.95, "seed": 1}
REFERENCE = np.array([-1.0, -1.0])


def policies(proxy: list[list[float]], gold: list[list[float]], prompts: int = 60, noise: float = 0.3) -> Measured:
    """The base and then policies with these gains, (p, 2), all on prompts of the same difficulty."""
    difficulty = np.random.default_rng(0).normal(size=(prompts, 2))
    difficulty = (difficulty - difficulty.mean(axis=0)) * noise
    at = [np.array([[0.0, 0.0], *gains])[:, None] + difficulty for gains in (proxy, gold)]
    return Measured(at[0], at[1], base=0, selected=np.array([False] + [True] * len(proxy)))


def test_one_policy_dominates_the_box_between_the_reference_and_itself():
    found = outcome(policies([[9, 9]], [[1.0, 0.5]]), None, REFERENCE, **HOW)
    assert found.hypervolume.value == pytest.approx(2.0 * 1.5)
    assert found.gain is None
    assert found.widened is None


def test_the_gap_is_what_the_proxy_promises_beyond_gold():
    found = outcome(policies([[1.9, 0.4], [1.1, 0.0]], [[0.2, 0.4], [0.2, 0.0]]), None, REFERENCE, **HOW)
    # Differences to the base on the same prompts: what the prompts have in common cancels to nothing.
    assert [g.value for g in found.gaps] == pytest.approx([1.3, 0.0])
    assert (found.gaps[0].low, found.gaps[0].high) == pytest.approx((1.3, 1.3))
    assert found.gap.value == pytest.approx(0.65)
    assert found.proxy[1].tolist() == pytest.approx([1.9, 0.4])
    assert found.gold[1].tolist() == pytest.approx([0.2, 0.4])
    assert found.gold_se.max() == pytest.approx(0.0, abs=1e-12)


def test_too_much_of_one_objective_is_not_made_up_for_by_too_little_of_another():
    found = outcome(policies([[2.0, -1.0]], [[1.0, 0.0]]), None, REFERENCE, **HOW)
    assert [g.value for g in found.gaps] == pytest.approx([1.0, -1.0])
    assert found.gap.value == pytest.approx(1.0)


def test_a_policy_that_was_not_selected_counts_in_neither_hypervolume_nor_gap():
    now = policies([[1.0, 1.0], [9.0, 9.0]], [[1.0, 1.0], [3.0, 3.0]])
    now = Measured(now.proxy, now.gold, 0, np.array([False, True, False]))
    found = outcome(now, None, REFERENCE, **HOW)
    assert found.hypervolume.value == pytest.approx(4.0)
    assert found.gap.value == pytest.approx(0.0)
    assert found.on_front.tolist() == [False, True, False]


def test_rounds_are_compared_on_the_same_prompts():
    last = policies([[1.0, 1.0]], [[0.5, 0.5]], noise=1.0)
    same = outcome(last, last, REFERENCE, **HOW)
    # Alone, the hypervolume is not known better than the prompts allow; the gain of the same policies is exactly 0.
    assert same.hypervolume.high - same.hypervolume.low > 0.5
    assert (same.gain.low, same.gain.value, same.gain.high) == pytest.approx((0.0, 0.0, 0.0))
    assert same.widened.value == pytest.approx(0.0)
    better = outcome(policies([[2.5, 1.0]], [[1.0, 0.5]], noise=1.0), last, REFERENCE, **HOW)
    assert better.gain.value == pytest.approx(2.0 * 1.5 - 1.5 * 1.5)
    assert better.gain.low > 0
    assert better.widened.value == pytest.approx((1.5 + 0.5) / 2 - 0.5)
    assert better.widened.low > 0


def test_an_objective_without_gold_has_no_gap_and_no_part_in_the_hypervolume():
    now = policies([[1.0, 3.0]], [[0.5, 0.0]])
    now.gold[..., 1] = np.nan
    found = outcome(now, None, REFERENCE, **HOW)
    assert found.gaps[1] is None
    assert found.gap.value == pytest.approx(0.5)
    assert found.hypervolume.value == pytest.approx(1.5)
    assert found.proxy[1, 1] == pytest.approx(3.0)
    assert np.isnan(found.gold[1, 1])


def test_without_any_gold_only_the_proxy_is_known():
    now = policies([[1.0, 3.0], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0]])
    now.gold[:] = np.nan
    found = outcome(now, now, REFERENCE, **HOW)
    assert (found.hypervolume, found.gap, found.gain, found.gaps) == (None, None, None, [None, None])
    assert found.on_front.tolist() == [False, True, False]


def test_the_interval_of_a_noisy_gap_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        base = rng.normal(size=(2, 80, 1))
        proxy, gold = base + np.array([0.0, 0.7])[:, None, None] + rng.normal(size=(2, 2, 80, 1))
        now = Measured(proxy, gold, 0, np.array([False, True]))
        gap = outcome(now, None, np.array([-1.0]), resamples=200, confidence=0.9, seed=0).gap
        covered += gap.low <= 0.0 <= gap.high
    assert 80 <= covered <= 97


def test_agreement_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(5)
    proxy, gold = rng.normal(size=(12, 4)).round(1), rng.integers(0, 3, size=(12, 4)).astype(float)
    gold[0, 0] = gold[1, :] = np.nan
    right = []
    for q, (i, j) in itertools.product(range(12), itertools.combinations(range(4), 2)):
        if gold[q, i] > gold[q, j] or gold[q, i] < gold[q, j]:
            said = (proxy[q, i] - proxy[q, j]) * (gold[q, i] - gold[q, j])
            right.append(1.0 if said > 0 else 0.5 if said == 0 else 0.0)
    found = agreement(proxy, gold, **HOW)
    assert found.value == pytest.approx(np.mean(right))
    assert 0 <= found.low < found.value < found.high <= 1


def test_agreement_needs_two_completions_that_gold_tells_apart():
    assert agreement(np.ones((3, 2)), np.zeros((3, 2)), **HOW) is None
