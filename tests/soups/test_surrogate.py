"""Predictions against made-up truths: accurate, honest about what they do not know, and the same after storage."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from landscapes import Landscape
from sklearn.gaussian_process import GaussianProcessRegressor

from pareto.soups.surrogate import Surrogate, coverage, cross_validated, half_width


def soups(m: int, n: int, seed: int) -> np.ndarray:
    """The experts and soups at random in the box, (n, m)."""
    return np.vstack([np.eye(m), np.random.default_rng(seed).uniform(0, 1.5, (n - m, m))])


@pytest.mark.parametrize(("m", "n"), [(2, 15), (3, 15), (3, 40), (4, 25)])
def test_the_intervals_cover_what_they_promise_on_held_out_soups(m, n):
    shares = []
    for seed in range(4):
        land = Landscape(m, seed)
        x, new = soups(m, n, seed), soups(m, 200, seed + 50)
        shares.append(coverage(land.measure(new), *Surrogate.fit(x, land.measure(x), 0).predict(new)))
    assert 0.80 <= np.mean(shares) <= 0.97


@pytest.mark.parametrize("rough", [0.0, 0.3])
def test_smooth_and_rough_truths_are_covered_as_well(rough):
    shares = []
    for seed in range(4):
        land = Landscape(3, seed, rough)
        x, new = soups(3, 30, seed), soups(3, 200, seed + 50)
        shares.append(coverage(land.measure(new), *Surrogate.fit(x, land.measure(x), 0).predict(new)))
    assert 0.80 <= np.mean(shares) <= 0.99  # a smooth truth is predicted better than any roughness allows for


def test_pure_noise_gives_wide_intervals_that_cover():
    shares, widths = [], []
    for seed in range(4):
        land = Landscape(3, seed, rough=1.0, flat=True)
        x, new = soups(3, 25, seed), soups(3, 200, seed + 50)
        mean, std = Surrogate.fit(x, land.measure(x), 0).predict(new)
        shares.append(coverage(land.measure(new), mean, std))
        widths.append(std.mean())
    assert 0.80 <= np.mean(shares) <= 0.97
    assert 0.8 <= np.mean(widths) <= 1.3


def test_the_trend_is_found_beneath_the_roughness():
    land = Landscape(3, 1)
    x, new = soups(3, 40, 0), soups(3, 200, 9)
    surrogate = Surrogate.fit(x, land.measure(x), 0)
    error = np.sqrt(np.mean((surrogate.predict(new)[0] - land.truth(new)) ** 2))
    assert error < 0.1  # the roughness of a single measurement
    assert error < 0.2 * land.truth(new).std()


def test_points_left_out_are_predicted_by_a_fit_without_them():
    land = Landscape(2, 3)
    x = soups(2, 12, 3)
    y = land.measure(x)
    held = cross_validated(x, y, seed=5, folds=12)
    other = np.arange(12) != 7
    mean, std = Surrogate.fit(x[other], y[other], 5).predict(x[7:8])
    np.testing.assert_allclose(held.mean[7], mean[0], rtol=1e-6)
    np.testing.assert_allclose(held.std[7], std[0], rtol=1e-6)
    # An outlier is not explained by itself.
    y[7] += 5
    assert (np.abs(cross_validated(x, y, seed=5, folds=12).mean[7] - y[7]) > 3).all()


def test_stored_and_read_back_it_predicts_the_same_without_a_search(monkeypatch):
    land = Landscape(3, 2)
    x, new = soups(3, 20, 2), soups(3, 50, 3)
    surrogate = Surrogate.fit(x, land.measure(x), 0)
    text = json.dumps(surrogate.to_json())
    monkeypatch.setattr(GaussianProcessRegressor, "log_marginal_likelihood", None)  # what a search would call
    monkeypatch.setattr(GaussianProcessRegressor, "_constrained_optimization", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GaussianProcessRegressor, "log_marginal_likelihood", lambda *_, **__: 0.0)
        again = Surrogate.from_json(json.loads(text))
    for a, b in zip(surrogate.predict(new), again.predict(new), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_the_same_data_give_the_same_predictions():
    land = Landscape(3, 2)
    x, new = soups(3, 15, 2), soups(3, 5, 3)
    a, b = (Surrogate.fit(x, land.measure(x), 4).predict(new) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_the_units_of_the_values_do_not_matter():
    land = Landscape(2, 2)
    x, new = soups(2, 15, 2), soups(2, 5, 3)
    y = land.measure(x)
    mean, std = Surrogate.fit(x, y, 0).predict(new)
    mean2, std2 = Surrogate.fit(x, 1000 * y - 7, 0).predict(new)
    np.testing.assert_allclose(mean2, 1000 * mean - 7, rtol=1e-3, atol=1)
    np.testing.assert_allclose(std2, 1000 * std, rtol=1e-2)


def test_an_objective_that_never_varies_is_predicted_as_it_is():
    x = soups(2, 12, 0)
    y = np.column_stack([Landscape(2, 0).measure(x)[:, 0], np.full(12, 0.25)])
    mean, std = Surrogate.fit(x, y, 0).predict(soups(2, 5, 1))
    np.testing.assert_allclose(mean[:, 1], 0.25, atol=1e-6)
    assert np.isfinite(std).all()


def test_one_prediction_takes_less_than_ten_milliseconds_of_work():
    land = Landscape(4, 0)
    x = soups(4, 60, 0)
    surrogate = Surrogate.fit(x, land.measure(x), 0)
    began = time.process_time()
    for row in x[:20]:
        surrogate.predict(row[None])
    assert (time.process_time() - began) / 20 < 0.010


def test_coverage_is_the_share_within_the_interval():
    assert half_width(0.9) == pytest.approx(1.6449, abs=1e-4)
    values = np.array([[0.0], [1.6], [1.7], [-1.7]])
    np.testing.assert_allclose(coverage(values, np.zeros((4, 1)), np.ones((4, 1))), [0.5])


def test_predictions_are_those_of_sklearn_itself():
    land = Landscape(3, 0)
    x = soups(3, 20, 0)
    new = soups(3, 50, 1)
    fitted = Surrogate.fit(x, land.measure(x), 0)
    mean, std = fitted.predict(new)
    for k, model in enumerate(fitted.models):
        own_mean, own_std = model.predict(new, return_std=True)
        np.testing.assert_allclose(mean[:, k], own_mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(std[:, k], own_std * fitted.widening[k], rtol=1e-6)
    np.testing.assert_allclose(fitted.mean(new), mean, rtol=1e-12)
