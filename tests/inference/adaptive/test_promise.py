import numpy as np
import pytest

from pareto.inference.adaptive.promise import Promise
from pareto.inference.adaptive.stopping import improvement


def test_whoever_has_the_best_that_there_is_expects_nothing_more() -> None:
    """Half of the answers are right, and nothing is better than right: a Gaussian cannot know."""
    rng = np.random.default_rng(0)
    utility = (rng.random((200, 24)) < 0.5).astype(float)
    promise = Promise.fit(utility, cap=16)
    drawn = np.array([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    said = promise.expected(drawn)
    assert said[0, 2:] == pytest.approx([0.0, 0.0], abs=0.02)
    assert said[1] == pytest.approx(np.full(4, 0.5), abs=0.06)
    assert improvement(drawn)[0, 2] > 0.1


def test_it_learns_what_gaussian_answers_promise() -> None:
    rng = np.random.default_rng(1)
    utility = rng.normal(size=(300, 64))
    promise = Promise.fit(utility, cap=16)
    drawn = rng.normal(size=(400, 8))
    best = drawn.max(axis=1)
    density = np.exp(-(best**2) / 2) / np.sqrt(2 * np.pi)
    from scipy.stats import norm

    wanted = density - best * norm.sf(best)  # of one more, where mean and deviation are known
    assert np.corrcoef(promise.expected(drawn)[:, -1], wanted)[0, 1] > 0.98
    assert promise.expected(drawn)[:, -1].mean() == pytest.approx(wanted.mean(), rel=0.1)


def test_a_wider_spread_promises_more() -> None:
    rng = np.random.default_rng(2)
    spread = np.exp(rng.normal(size=200))
    promise = Promise.fit(spread[:, None] * rng.normal(size=(200, 16)), cap=8, spread=spread)
    narrow, wide = (promise.expected(np.zeros((1, 1)), np.array([s]))[0, 0] for s in (0.2, 3.0))
    assert wide > 4 * narrow > 0
