"""The rule that takes predicted weights or declines: what it may take, and how seldom it is wrong to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.inference.auto_weights.regression import HeldOut
from pareto.inference.auto_weights.rule import ERROR, Rule, gains


def held_out(predicted: np.ndarray) -> HeldOut:
    return HeldOut(predicted, np.arange(predicted.shape[1]) % 5)


def test_gains_by_hand() -> None:
    predicted = np.array([[[0.0, 1.0, 9.0]], [[0.0, 3.0, 9.0]]])
    found = gains(predicted, np.array([0, 1]), 0)
    assert found.best.tolist() == [1]
    assert found.mean == pytest.approx([2.0])
    assert found.spread == pytest.approx([np.sqrt(2.0)])
    assert gains(predicted, np.array([0, 1, 2]), 0).best.tolist() == [2]


@given(st.integers(0, 10_000), st.sets(st.integers(0, 4), min_size=1))
def test_nothing_is_taken_that_is_not_allowed(seed: int, allowed: set[int]) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((30, 5))
    predicted = truth + 0.1 * rng.standard_normal((4, 30, 5))
    rule = Rule.calibrate(held_out(predicted), truth, np.arange(30), np.array(sorted(allowed)))
    chosen, _, _ = rule.decide(predicted)
    assert set(chosen.tolist()) | {rule.default} <= allowed
    assert truth[:, rule.default].mean() == pytest.approx(max(truth[:, k].mean() for k in allowed))


def test_true_predictions_are_taken() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((60, 4))
    rule = Rule.calibrate(held_out(np.stack([truth] * 3)), truth, np.arange(60), np.arange(4))
    chosen, _, unsure = rule.decide(np.stack([truth] * 3))
    assert chosen.tolist() == truth.argmax(axis=1).tolist()
    assert not unsure.any()


def test_predictions_of_nothing_are_taken_as_seldom_as_promised() -> None:
    rng = np.random.default_rng(0)
    taken = 0
    for _ in range(400):
        utility, predicted = rng.standard_normal((40, 4)), rng.standard_normal((8, 40, 4))
        rule = Rule.calibrate(held_out(predicted), utility, np.arange(40), np.arange(4))
        taken += bool(np.isfinite(rule.threshold))
        if not np.isfinite(rule.threshold):
            assert set(rule.decide(predicted)[0].tolist()) == {rule.default}
    # 400 draws: four standard errors above the promise.
    assert taken / 400 <= ERROR + 4 * np.sqrt(ERROR * (1 - ERROR) / 400)


def test_near_duplicates_count_once() -> None:
    # The second policy is predicted to be better in eight groups, and is so on the whole, but not surely.
    gain = np.array([2.0, -1.0, 1.5, -1.2, 1.0, -0.5, 0.9, -0.3, *[-2.0] * 8])
    of, rows = np.arange(16), np.repeat(np.arange(16), 20)
    utility = np.stack([np.zeros(16), gain], axis=1)[rows]
    says = np.stack([np.zeros(16), np.where(of < 8, 1.0, -1.0)], axis=1)[rows]
    told = HeldOut(np.stack([says, says]), rows % 5)
    assert np.isinf(Rule.calibrate(told, utility, rows, np.arange(2)).threshold)
    assert np.isfinite(Rule.calibrate(told, utility, np.arange(320), np.arange(2)).threshold)
