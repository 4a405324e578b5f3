import numpy as np
import pytest

from pareto.config import Ensemble
from pareto.training.rewards.heads import Comparisons, train_heads


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices: threads would only wait for each other."""
    import torch

    torch.set_num_threads(1)


def drawn(n=200, width=8, seed=0, noise=0.0):
    """Comparisons of random completions by a true direction, two per prompt."""
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(2 * n, width)) * np.geomspace(0.1, 10, width) + 3).astype(np.float32)
    truth = rng.normal(size=width) / np.geomspace(0.1, 10, width)
    first, second = np.arange(n), np.arange(n, 2 * n)
    p = 1 / (1 + np.exp(-(features[first] - features[second]) @ truth))
    targets = (rng.random(n) < p).astype(float)
    return Comparisons(features, first, second, targets, np.ones(n), np.arange(n) // 2), truth


def test_a_linear_head_is_the_logistic_regression_of_differences():
    from sklearn.linear_model import LogisticRegression

    data, _ = drawn()
    settings = Ensemble(steps=500, weight_decay=0.05, bootstrap=False, learning_rate=0.03)
    heads, decay = train_heads("linear", data, [3, 4], settings)
    assert decay == 0.05
    unit = data.features.std(axis=0)
    x = (data.features[data.first] - data.features[data.second]) / unit
    # The start draws a little: without it, this is sklearn's penalty C = 1 / (n · decay) exactly.
    oracle = LogisticRegression(C=1 / (len(x) * 0.05), fit_intercept=False, tol=1e-8).fit(x, data.targets).coef_[0]
    found = heads.tensors["weight"] * unit
    np.testing.assert_allclose(found.mean(axis=0), oracle, atol=0.08)
    assert np.corrcoef(found[0], oracle)[0, 1] > 0.99


def test_ties_and_weights_count_as_the_likelihood_has_them():
    from scipy.optimize import minimize

    data, _ = drawn(width=2)
    rng = np.random.default_rng(1)
    targets = np.where(rng.random(200) < 0.3, 0.5, data.targets)
    weights = rng.uniform(0.1, 3, size=200)
    data = Comparisons(data.features, data.first, data.second, targets, weights, data.groups)
    settings = Ensemble(steps=600, weight_decay=0.0, bootstrap=False, learning_rate=0.05)
    heads, _ = train_heads("linear", data, [0], settings)
    x = (data.features[data.first] - data.features[data.second]).astype(float)

    def loss(w):
        m = x @ w
        return np.sum(weights * -(targets * np.log(1 / (1 + np.exp(-m))) + (1 - targets) * np.log(1 / (1 + np.exp(m)))))

    np.testing.assert_allclose(heads.tensors["weight"][0], minimize(loss, np.zeros(2), tol=1e-10).x, rtol=2e-3)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_member_is_the_same_whoever_stands_beside_it(kind):
    data, _ = drawn(80)
    alone, _ = train_heads(kind, data, [7], Ensemble(steps=40))
    among, _ = train_heads(kind, data, [1, 7, 2], Ensemble(steps=40))
    for name, tensor in alone.tensors.items():
        np.testing.assert_allclose(among.tensors[name][1], tensor[0], rtol=1e-3, atol=1e-5)
        assert not np.allclose(among.tensors[name][0], tensor[0], rtol=1e-2)


def test_an_mlp_learns_what_no_linear_head_can():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 4)).astype(np.float32)
    quality = np.abs(features[:, 0])
    first, second = np.arange(300), np.arange(300, 600)
    better = (quality[first] > quality[second]).astype(float)
    data = Comparisons(features, first, second, better, np.ones(300), np.arange(300))
    settings = Ensemble(steps=200, weight_decay=0.001, learning_rate=0.03, bootstrap=False)

    def accuracy(kind):
        scores = train_heads(kind, data, [0], settings)[0](features)[:, 0]
        return ((scores[first] > scores[second]) == better).mean()

    assert accuracy("mlp") > 0.95
    assert accuracy("linear") < 0.65


def test_weight_decay_grows_with_the_noise():
    signal, _ = drawn(300, 30)
    rng = np.random.default_rng(5)
    flipped = rng.random(300) < 0.5
    noisy = Comparisons(
        signal.features,
        signal.first,
        signal.second,
        np.where(flipped, 1 - signal.targets, signal.targets),
        signal.weights,
        signal.groups,
    )
    chosen = [train_heads("linear", data, [0], Ensemble(steps=150))[1] for data in (signal, noisy)]
    assert chosen[0] < 1 <= chosen[1]


def test_a_bootstrap_resamples_prompts_whole():
    from pareto.training.rewards.heads import _bootstrap

    data, _ = drawn(400)
    weights = np.stack([_bootstrap(data, seed) for seed in range(20)])
    np.testing.assert_array_equal(weights[:, 0::2], weights[:, 1::2])
    assert (weights.sum(axis=1) == 400).all()
    # A prompt is left out with chance (1 − 1/200)^200, about 1/e.
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.03)
