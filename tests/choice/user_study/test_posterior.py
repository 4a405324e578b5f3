"""The posterior against brute force, against people with known weights, and against people who guess."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from pareto.choice.user_study.pairs import information
from pareto.choice.user_study.posterior import SHARPNESS, SLIP, TIES, answer_chances, infer

TRUE = np.array([0.6, 0.3, 0.1])


def answers_of(weights, differences, rng, sharpness=4.0):
    return np.where(rng.random(len(differences)) < expit(sharpness * differences @ weights), 1.0, -1.0)


def test_without_answers_every_objective_counts_the_same() -> None:
    nothing = infer(np.empty((0, 4)), [])
    low, high = nothing.interval(0.9)
    assert nothing.mean == pytest.approx([0.25] * 4)
    # Marginals of Dirichlet(1, 1, 1, 1) are Beta(1, 3).
    assert low == pytest.approx([1 - 0.95 ** (1 / 3)] * 4, abs=0.01)
    assert high == pytest.approx([1 - 0.05 ** (1 / 3)] * 4, abs=0.03)


def test_two_objectives_against_integration_on_a_grid() -> None:
    d = np.array([[1.0, -0.5], [-0.4, 0.9], [0.3, -0.8], [1.2, -1.5], [0.2, -0.1]])
    a = np.array([1, -1, -1, 0, 1])
    w = np.linspace(0.0005, 0.9995, 1000)
    posterior = np.zeros(len(w))
    for s in SHARPNESS:
        for ties in TIES:
            for slip in SLIP:
                one = np.ones(len(w))
                for (first, second), answer in zip(d, a, strict=True):
                    x = s * (w * first + (1 - w) * second)
                    odds = np.stack([np.exp(x / 2), np.full(len(x), ties), np.exp(-x / 2)])
                    left, tie, right = odds / odds.sum(axis=0)
                    mixed = {1: left * (1 - slip) + right * slip, 0: tie, -1: right * (1 - slip) + left * slip}
                    one = one * mixed[answer]
                posterior += (0.6 - slip) * one
    expected = (posterior * w).sum() / posterior.sum()
    assert infer(d, a).mean == pytest.approx([expected, 1 - expected], abs=0.015)


@pytest.mark.parametrize("seed", range(3))
def test_a_consistent_person_is_understood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = rng.normal(size=(200, 3))
    found = infer(d, answers_of(TRUE, d, rng))
    low, high = found.interval(0.999)
    assert found.mean == pytest.approx(TRUE, abs=0.08)
    assert ((low <= TRUE) & (high >= TRUE)).all()


def test_sides_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(size=(20, 3))
    a = answers_of(TRUE, d, rng)
    assert infer(d, a).mean == pytest.approx(infer(-d, -a).mean)


def test_large_differences_and_ties_do_not_overflow() -> None:
    d = 50 * np.array([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, 2.0]])
    found = infer(d, [1, 0, 0])
    assert np.isfinite(found.mean).all()
    assert found.mass.sum() == pytest.approx(1)


def test_a_tie_pulls_towards_weights_that_see_no_difference() -> None:
    d = np.array([[2.0, -1.0]])
    tie = infer(np.repeat(d, 12, axis=0), np.zeros(12)).mean
    assert tie[0] == pytest.approx(1 / 3, abs=0.1)  # 2·w − (1 − w) = 0


def test_chances_are_bradley_terry_where_there_are_no_ties_and_no_slips() -> None:
    x = np.array([-80.0, -2.0, 0.0, 0.5, 80.0])
    left, tie = answer_chances(x, np.array(0.0), np.array(0.0))
    assert left == pytest.approx(expit(x))
    assert tie == pytest.approx(0)


def test_who_answers_at_random_moves_little() -> None:
    moved = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = infer(rng.normal(size=(40, 4)), rng.choice([-1.0, 1.0], 40))
        moved.append(np.abs(found.mean - 0.25).max())
    assert np.median(moved) < 0.15


def test_the_most_telling_question_splits_what_is_possible() -> None:
    # After being told that w₁ > w₂, one asks where within that half, and not the same or a question without trade-off.
    known = infer(np.repeat([[3.0, -3.0]], 10, axis=0), np.ones(10))
    again, within, dominated, nothing = information(
        [[3.0, -3.0], [3.0, -9.0], [3.0, 3.0], [0.0, 0.0]], known, np.random.default_rng(0)
    )
    assert within > 2 * again
    assert within > 2 * dominated
    assert nothing == pytest.approx(0, abs=1e-9)


def test_information_is_between_none_and_all_of_an_answer() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(size=(30, 3))
    told = information(rng.normal(size=(50, 3)), infer(d, answers_of(TRUE, d, rng)), rng)
    assert told.min() > -1e-9
    assert told.max() < np.log2(3)
