"""The bound against exact distributions, and in simulation against truths that are known."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pareto.choice.bounds import lower_bounds, prompts_wanted, upper_bounds

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


def binary(p: float) -> Draw:
    return lambda rng, size: (rng.random(size) < p).astype(float)


def piled(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Harmless: about 0.97 nearly always, about 0.3 sometimes; its mean is 0.9365."""
    good = rng.beta(97, 3, size)
    return np.where(rng.random(size) < 0.05, rng.beta(3, 7, size), good)


SHAPES: dict[str, tuple[float, Draw]] = {
    "binary 0.90": (0.90, binary(0.90)),
    "binary 0.95": (0.95, binary(0.95)),
    "binary 0.99": (0.99, binary(0.99)),
    "piled up": (0.95 * 0.97 + 0.05 * 0.3, piled),
    "left tail": (20 / 21, lambda rng, size: rng.beta(1.0, 0.05, size)),
    "right tail": (1 / 21, lambda rng, size: rng.beta(0.05, 1.0, size)),
    "gaussian": (0.5, lambda rng, size: rng.normal(0.5, 0.1, size)),
}


def student(scores: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    q = scores.shape[1]
    return scores.mean(axis=1) - stats.t.isf(alpha, q - 1) * scores.std(axis=1, ddof=1) / np.sqrt(q)


def betting(scores: NDArray[np.float64], lowest: float, alpha: float) -> NDArray[np.float64]:
    """Waudby-Smith and Ramdas with bets spread over a grid, so that the order of the prompts does not matter."""
    share = np.geomspace(0.003, 0.97, 24)[:, None, None]
    low, high = np.full(len(scores), lowest), scores.mean(axis=1)
    for _ in range(22):
        m = (low + high) / 2
        wealth = np.log1p(share * ((scores - lowest) / (m - lowest)[:, None] - 1)).sum(axis=2)
        refused = np.logaddexp.reduce(wealth, axis=0) - np.log(len(share)) >= -np.log(alpha)
        low, high = np.where(refused, m, low), np.where(refused, high, m)
    return low


@pytest.mark.parametrize("alpha", [0.05, 0.00125])
@pytest.mark.parametrize("n", [1, 2, 10, 50, 400])
def test_on_zeros_and_ones_it_is_clopper_and_pearsons(n: int, alpha: float) -> None:
    right = np.unique([0, 1, n // 2, n - 1, n])
    scores = (np.arange(n) < right[:, None]).astype(float)
    exact = np.where(right > 0, stats.beta.ppf(alpha, np.maximum(right, 1), n - right + 1), 0.0)
    bound = lower_bounds(scores, 0.0, alpha)
    assert bound == pytest.approx(exact, abs=0.003)
    assert (bound <= exact + 1e-9).all()  # the approximation errs to the safe side


def test_on_other_scores_it_is_the_quantile_of_the_weighted_mean() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(5, 1, (1, 60)) * 40 - 10
    drawn = rng.dirichlet(np.ones(61), 100_000) @ np.append(scores[0], -10)
    for alpha in (0.3, 0.05, 0.005):
        assert lower_bounds(scores, -10.0, alpha)[0] == pytest.approx(np.quantile(drawn, alpha), abs=0.1)


def test_hundred_of_hundred_right_is_not_certainty() -> None:
    assert lower_bounds(np.ones((1, 100)), 0.0, 0.05)[0] == pytest.approx(0.05 ** (1 / 100), abs=1e-3)
    assert student(np.ones((1, 100)), 0.05)[0] == 1.0


@given(st.integers(0, 10**6), st.floats(1e-4, 0.4), st.floats(1e-4, 0.4), st.sampled_from([1e-6, 1.0, 1e6]))
def test_laws(seed: int, a: float, b: float, unit: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.7, 0.4, (3, 30)).round(1)
    low = lower_bounds(scores, 0.0, a)
    assert (low >= 0).all()
    assert (low <= scores.mean(axis=1)).all()
    assert (lower_bounds(scores, 0.0, min(a, b)) <= lower_bounds(scores, 0.0, max(a, b)) + 1e-6).all()
    assert lower_bounds(rng.permuted(scores, axis=1), 0.0, a) == pytest.approx(low, abs=1e-7)
    assert lower_bounds(unit * (scores - 3), -3 * unit, a) == pytest.approx(unit * (low - 3), abs=1e-7 * unit)
    assert upper_bounds(1 - scores, 1.0, a) == pytest.approx(1 - low)
    gaps = np.insert(scores, [0, 7], np.nan, axis=1)
    assert lower_bounds(gaps, 0.0, a) == pytest.approx(low, abs=1e-7)


def test_a_policy_without_scores_above_the_lowest() -> None:
    scores = np.array([[np.nan, np.nan], [0.2, 0.2]])
    assert lower_bounds(scores, 0.2, 0.05).tolist() == [0.2, 0.2]
    assert np.isinf(prompts_wanted(scores, 0.2, 0.3, 0.05)).all()


@pytest.mark.parametrize(("right", "wanted"), [(193, 0.95), (200, 0.98), (120, 0.5)])
def test_prompts_wanted_by_counting_up(right: int, wanted: float) -> None:
    scores = (np.arange(200) < right)[None].astype(float)
    scores = np.concatenate([scores, np.full((1, 50), np.nan)], axis=1)  # a fifth of the prompts do not count
    total = prompts_wanted(scores, 0.0, wanted, 0.00125)[0]

    def reached(prompts: float) -> bool:
        n = 0.8 * prompts
        k = n * right / 200
        return bool(stats.beta.ppf(0.00125, k, n - k + 1) >= wanted)

    assert reached(total * 1.02)
    assert not reached(total * 0.98)


def test_more_prompts_do_not_help_where_the_mean_is_too_low() -> None:
    scores = np.array([[0.0, 1.0, 1.0, 0.0]])
    assert np.isinf(prompts_wanted(scores, 0.0, 0.5, 0.05)).all()
    assert np.isinf(prompts_wanted(scores, 0.0, 0.6, 0.05)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_wrong_no_more_often_than_it_says(shape: str) -> None:
    """Seven shapes; Gaussian scores have no lowest, so the lowest seen stands for it, as in a run without a range."""
    truth, draw = SHAPES[shape]
    for q, alpha, times in ((50, 0.05, 2000), (100, 0.05, 2000), (100, 0.005, 6000)):
        scores = draw(np.random.default_rng(q), (times, q))
        lowest = float(scores.min()) if shape == "gaussian" else 0.0
        wrong = int((lower_bounds(scores, lowest, alpha) > truth + 1e-12).sum())
        # More often than in 999 of 1,000 simulations of a bound that is wrong with probability alpha exactly.
        assert wrong <= stats.binom.ppf(0.999, times, alpha)


def test_students_interval_is_too_sure_of_piled_up_scores() -> None:
    scores = binary(0.99)(np.random.default_rng(0), (2000, 100))
    assert (student(scores, 0.05) > 0.99).mean() > 0.3


def test_it_is_narrower_than_betting() -> None:
    rng = np.random.default_rng(1)
    for truth, draw in (SHAPES["piled up"], SHAPES["binary 0.95"], SHAPES["left tail"]):
        scores = draw(rng, (40, 200))
        ours, theirs = (truth - f(scores, 0.0, 0.00125).mean() for f in (lower_bounds, betting))
        assert ours < 0.93 * theirs
