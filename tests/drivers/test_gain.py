import numpy as np
import pytest

from pareto.config import Training
from pareto.drivers.gain import Effect, best_start, effect, expected_gains

SURE = Effect(mean=1.0, std=0.0, unexplained=0.0)


def gains(values, starts, pushes, noise=None, known=SURE):
    starts = np.atleast_2d(np.array(starts, dtype=float))
    noise = np.full(starts.shape, 1e-12) if noise is None else np.broadcast_to(noise, starts.shape)
    pushes = np.broadcast_to(np.array(pushes, dtype=float), starts.shape)
    return expected_gains(np.array(values, dtype=float), np.zeros(2), starts, pushes, noise, known, seed=0)


def test_before_any_adapter_the_effect_of_training_is_the_prior():
    known = effect(np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3)), prior=0.25)
    assert (known.mean, known.std) == pytest.approx((0.25, 0.25))
    assert known.unexplained == 0


@pytest.mark.parametrize("truth", [0.0, 0.6])
def test_adapters_teach_how_much_training_brings(truth):
    rng = np.random.default_rng(1)
    pushes = rng.uniform(0, 1, (60, 3))
    moves = truth * pushes + rng.normal(0, 0.1, (60, 3))
    few, many = (effect(pushes[:n], moves[:n], np.full((n, 3), 0.01), prior=0.25) for n in (2, 60))
    # Least squares over 180 equations leaves a standard error of about 0.1 / sqrt(180 / 3).
    assert many.mean == pytest.approx(truth, abs=0.05)
    assert abs(many.mean - truth) < 3 * many.std
    assert many.std < few.std < 0.25


def test_with_noise_alone_the_posterior_is_that_of_ridge_regression():
    pushes, noise = np.array([[0.5, 1.0], [1.0, 0.2]]), np.full((2, 2), 0.04)
    known = effect(pushes, 0.25 * pushes, noise, prior=0.25)
    precision = 1 / 0.25**2 + (pushes**2 / 0.04).sum()
    assert known.mean == pytest.approx(0.25)
    assert known.std == pytest.approx(precision**-0.5)


def test_what_the_model_does_not_explain_makes_it_less_sure():
    pushes, noise = np.ones((3, 2)) * 0.5, np.full((3, 2), 1e-4)
    calm = effect(pushes, np.full((3, 2), 0.2), noise, prior=0.25)
    wild = effect(pushes, np.array([[1.0, -0.8], [-0.6, 1.2], [0.2, 0.2]]), noise, prior=0.25)
    assert wild.std > calm.std
    assert calm.unexplained == 0
    # The spread of those six moves around 0.4 times 0.5, by hand.
    assert wild.unexplained == pytest.approx((0.64 + 1 + 0.64 + 1) / 5, rel=0.05)


def test_one_adapter_that_moved_as_far_as_the_model_says_is_believed():
    known = effect(np.array([[0.75, 0.37, 0.37]]), np.array([[1.1, 0.58, 0.52]]), np.full((1, 3), 0.002), prior=0.25)
    assert known.mean == pytest.approx(1.5, abs=0.15)
    assert known.std < 0.1


def test_a_sure_move_gains_the_area_that_it_adds():
    gain, uncertainty = gains([[1, 1]], [[1, 1], [1, 1], [0.2, 0.2]], [[1, 0], [1, 1], [0.5, 0.5]])
    assert gain == pytest.approx([1, 3, 0], abs=1e-4)
    assert uncertainty == pytest.approx([0, 0, 0], abs=1e-4)


def test_luck_is_not_gain():
    gain, uncertainty = gains([[1, 1]], [[1, 1]], [[0, 0]], noise=0.04)
    assert gain == pytest.approx([0])
    assert uncertainty[0] > 0.1


def test_a_harmful_training_has_a_negative_gain():
    assert gains([[1, 1]], [[1, 1]], [[-0.2, -0.2]], noise=0.04)[0][0] < 0


def test_uncertainty_grows_with_noise_and_with_doubt_of_the_effect():
    doubtful = Effect(mean=1.0, std=0.5, unexplained=0.0)
    start, push = [[1, 1]], [[0.5, 0.5]]
    (_, sure), (_, noisy) = gains([[1, 1]], start, push), gains([[1, 1]], start, push, noise=0.04)
    (_, doubted) = gains([[1, 1]], start, push, known=doubtful)
    assert sure[0] < 1e-4 < min(noisy[0], doubted[0])


def test_equal_candidates_have_equal_gains():
    gain, uncertainty = gains([[1, 1]], [[1, 1], [1, 1]], [[0.3, 0.1]], noise=0.04)
    assert gain[0] == gain[1]
    assert uncertainty[0] == uncertainty[1]


def test_training_starts_in_a_hollow_of_the_front_too():
    values = np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.4]])
    assert (values @ [0.5, 0.5]).argmax() != 2
    assert best_start(values, np.array([0.5, 0.5]), Training()) == 2
    assert best_start(values, np.array([1.0, 0.0]), Training()) == 0
    # The units of one objective do not change who serves a preference.
    assert best_start(values * [1, 1000], np.array([0.5, 0.5]), Training()) == 2
