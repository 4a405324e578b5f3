import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.front.indicators import hypervolume
from pareto.front.statistics import analyse, paired_difference, resample_means, simplex_sample

NAN = math.nan


def plain(m: int, reference: float = -1.0) -> Frame:
    """A frame that changes nothing."""
    return Frame(tuple("abcd"[:m]), (1.0,) * m, (0.0,) * m, (1.0,) * m, (reference,) * m)


def noisy(truth: NDArray[np.float64], q: int, seed: int) -> NDArray[np.float64]:
    """Scores with a part that all policies share on a prompt and a part of their own."""
    rng = np.random.default_rng(seed)
    p, m = truth.shape
    return truth[:, None] + 0.8 * rng.normal(size=(1, q, m)) + 0.6 * rng.normal(size=(p, q, m))


def test_means_and_standard_errors_skip_prompts_where_the_objective_does_not_apply() -> None:
    scores = np.array([[[1.0, 5.0], [3.0, NAN], [5.0, 7.0]], [[2.0, NAN], [2.0, 1.0], [2.0, NAN]]])
    out = analyse(scores, plain(2), resamples=50)
    np.testing.assert_allclose(out.mean, [[3, 6], [2, 1]])
    np.testing.assert_allclose(out.se, [[2 / math.sqrt(3), 1.0], [0, NAN]])


def test_every_draw_is_a_mean_over_whole_prompts_shared_by_all_points() -> None:
    # Prompt i scores 10**i, so that a mean times q spells out how often each prompt was drawn.
    q = 5
    first = 10.0 ** np.arange(q)
    draws = resample_means(np.stack([first, 3 * first])[:, :, None], 200, seed=1)
    np.testing.assert_allclose(draws[:, 1], 3 * draws[:, 0])
    digits = [sum(map(int, str(round(total)))) for total in (draws[:, 0, 0] * q).tolist()]
    assert digits == [q] * 200


def test_bootstrap_spread_is_the_standard_error() -> None:
    scores = noisy(np.zeros((3, 2)), 400, seed=0)
    out = analyse(scores, plain(2), resamples=100)
    np.testing.assert_allclose(resample_means(scores, 4000, 0).std(axis=0), out.se, rtol=0.06)


def test_a_draw_without_a_prompt_for_an_objective_is_drawn_again() -> None:
    scores = np.full((2, 8, 2), 1.0)
    scores[:, 1:, 1] = NAN
    assert not np.isnan(resample_means(scores, 500, seed=0)).any()


def test_an_objective_that_a_point_never_had_stays_missing() -> None:
    scores = np.ones((2, 8, 2))
    scores[1, :, 0] = NAN
    out = analyse(scores, plain(2), resamples=50)
    assert np.isnan(out.mean[1, 0])
    assert out.on_front.tolist() == [True, False]
    assert out.p_nondominated.tolist() == [1.0, 0.0]


def test_too_few_prompts_are_refused() -> None:
    # Forty points, each scored on another single prompt: a draw would have to hold all forty.
    scores = np.where(np.eye(40)[:, :, None] == 1, 1.0, NAN)
    with pytest.raises(ParetoError, match="too few of the 40 prompts"):
        resample_means(scores, 10, seed=0)


def test_a_clear_front_without_noise() -> None:
    scores = np.repeat(np.array([[2.0, 0], [0, 2.0], [-0.5, -0.5]])[:, None], 10, axis=1)
    out = analyse(scores, plain(2), resamples=50)
    assert out.on_front.tolist() == [True, True, False]
    assert out.p_nondominated.tolist() == [1, 1, 0]
    # Two 3 × 1 boxes above (−1, −1) that share a unit square.
    assert (out.hypervolume.value, out.hypervolume.low, out.hypervolume.high) == pytest.approx((5, 5, 5))
    assert out.igd_plus.value == 0
    assert out.spacing.value == 0
    # A user of weight w gets 2 max(w, 1 − w), 1.5 on average.
    assert out.expected_utility.value == pytest.approx(1.5, abs=0.05)


def test_minimised_objectives_are_reported_in_their_own_units() -> None:
    frame = Frame(("a", "cost"), (1.0, -1.0), (0.0, 10.0), (1.0, 2.0), (-1.0, -1.0))
    scores = np.repeat(np.array([[1.0, 8.0], [1.0, 12.0]])[:, None], 5, axis=1)
    out = analyse(scores, frame, resamples=50)
    assert out.mean[:, 1].tolist() == [8, 12]
    assert out.on_front.tolist() == [True, False]
    assert out.hypervolume.value == pytest.approx(2 * 2)


def test_only_selected_points_make_the_front() -> None:
    scores = np.repeat(np.array([[3.0, 3.0], [2.0, 0], [0, 2.0]])[:, None], 10, axis=1)
    out = analyse(scores, plain(2), select=[False, True, True], resamples=50)
    assert out.on_front.tolist() == [False, True, True]
    assert out.hypervolume.value == pytest.approx(5)
    # The default target is the best of all points: the selected ones fall short by (1, 3) and (3, 1).
    assert out.igd_plus.value == pytest.approx(math.hypot(1, 3))
    assert analyse(scores, plain(2), target=[[2, 2]], resamples=50).igd_plus.value == 0


def test_an_empty_selection_is_the_empty_set() -> None:
    out = analyse(np.ones((2, 5, 2)), plain(2), select=[False, False], resamples=50)
    assert not out.on_front.any()
    assert out.hypervolume.value == out.hypervolume.high == 0
    assert out.igd_plus.value == math.inf
    assert out.expected_utility.value == -math.inf


def test_does_not_depend_on_the_order_of_points() -> None:
    scores = noisy(np.eye(4)[:, :3], 30, seed=2)
    order = [2, 0, 3, 1]
    a, b = analyse(scores, plain(3), resamples=100), analyse(scores[order], plain(3), resamples=100)
    assert (b.hypervolume.low, b.hypervolume.high) == pytest.approx((a.hypervolume.low, a.hypervolume.high))
    np.testing.assert_allclose(b.p_nondominated, a.p_nondominated[order])


def test_same_seed_same_answer() -> None:
    scores = noisy(np.eye(3)[:, :2], 30, seed=3)
    first, again, other = (analyse(scores, plain(2), resamples=100, seed=s).hypervolume for s in (0, 0, 1))
    assert first == again
    assert first != other


def selected(truth: NDArray[np.float64], trial: int) -> NDArray[np.bool_]:
    return analyse(noisy(truth, 60, 2 * trial), plain(truth.shape[1]), resamples=1).on_front


def test_identical_policies_show_no_gain_when_selected_and_reported_on_different_prompts() -> None:
    truth, trials = np.zeros((11, 3)), 60
    one = np.arange(11) == 0
    claims, naive, overlap = 0, 0.0, 0
    for trial in range(trials):
        test = noisy(truth, 60, 2 * trial + 1)
        chosen = analyse(test, plain(3), select=selected(truth, trial), resamples=100).hypervolume
        single = analyse(test, plain(3), select=one, resamples=100).hypervolume
        naive += analyse(test, plain(3), resamples=1).hypervolume.value / trials
        claims += chosen.low > 1
        overlap += chosen.low <= single.high and single.low <= chosen.high
    assert naive > 1.2, "without the split, noise alone looks like a fifth more hypervolume"
    assert claims <= 6, "a 95 % interval lies above the truth in some 2.5 % of the trials"
    assert overlap == trials


def test_a_real_gain_is_seen() -> None:
    angle = np.linspace(0, math.pi / 2, 11)
    truth = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for trial in range(5):
        chosen = selected(truth, trial)
        test = np.concatenate([noisy(truth, 60, 2 * trial + 1), np.zeros((1, 60, 2))])
        out = analyse(test, plain(2), select=np.append(chosen, False), resamples=200).hypervolume
        assert out.low > hypervolume([[0, 0]], [-1, -1])


def test_paired_difference_uses_prompts_that_both_scored() -> None:
    mean, se, n = paired_difference([1.0, 2.0, NAN, 6.0], [0.0, 2.0, 1.0, NAN])
    assert (mean, se, n) == (0.5, pytest.approx(0.5), 2)


def test_paired_difference_cancels_what_the_prompts_share() -> None:
    shared = np.random.default_rng(0).normal(size=50)
    mean, se, n = paired_difference(shared + 0.25, shared)
    assert (mean, n) == (pytest.approx(0.25), 50)
    assert se == pytest.approx(0, abs=1e-12)


def test_paired_difference_of_almost_nothing() -> None:
    mean, se, n = paired_difference([3.0, NAN], [1.0, 1.0])
    assert (mean, n) == (2.0, 1)
    assert math.isnan(se)
    assert math.isnan(paired_difference([NAN], [1.0])[0])


def test_preferences_cover_the_simplex_evenly() -> None:
    weights = simplex_sample(4)
    assert weights.shape == (200, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.mean(axis=0), 0.25, atol=0.05)
