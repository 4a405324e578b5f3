"""The regressions: those of scikit-learn, and never fitted to what they are judged on."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor

from pareto.errors import ParetoError
from pareto.inference.auto_weights.regression import (
    FOLDS,
    HIDDEN,
    MEMBERS,
    Ensemble,
    HeldOut,
    Learner,
    apply,
    choose_learner,
    folds,
)


def data(n: int = 60, d: int = 5, p: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True), rng.standard_normal((n, p))


def test_layers_say_what_scikit_learn_predicts() -> None:
    x, y = data()
    assert apply(Learner("ridge", 0.3).fit(x, y), x) == pytest.approx(Ridge(alpha=0.3).fit(x, y).predict(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = MLPRegressor(
            hidden_layer_sizes=(HIDDEN,), activation="tanh", solver="lbfgs", alpha=1.0, max_iter=200, random_state=7
        ).fit(x, y)
    assert apply(Learner("mlp", 1.0).fit(x, y, 7), x) == pytest.approx(network.predict(x))


@given(st.lists(st.integers(0, 30), min_size=12, max_size=60), st.integers(0, 9))
def test_near_duplicates_are_on_one_side_and_everything_is_left_out_once(labels: list[int], seed: int) -> None:
    groups = np.array(labels)
    if len(set(labels)) < FOLDS:
        with pytest.raises(ParetoError, match="cannot be learned from"):
            list(folds(groups, seed))
        return
    out: list[int] = []
    for fit, left in folds(groups, seed):
        assert not set(groups[fit]) & set(groups[left])
        out += left.tolist()
    assert sorted(out) == list(range(len(groups)))


def test_what_is_held_out_does_not_see_its_own_target() -> None:
    x, y = data()
    groups = np.arange(60) // 2
    before = HeldOut.fit(Learner("ridge", 0.1), x, y, groups)
    y[:2] += 100.0
    after = HeldOut.fit(Learner("ridge", 0.1), x, y, groups)
    assert after.predicted[:, :2] == pytest.approx(before.predicted[:, :2])
    assert not np.allclose(after.predicted, before.predicted)


def test_a_line_is_learned_by_ridge_and_an_interaction_by_the_network() -> None:
    rng = np.random.default_rng(1)
    x, groups = rng.choice([-1.0, 1.0], (160, 2)), np.arange(160)
    _, line = choose_learner(x, np.stack([x[:, 0], -x[:, 1]], 1), groups)
    assert line["ridge"] < 0.01
    learner, told = choose_learner(x, np.stack([x[:, 0] * x[:, 1], x[:, 0]], 1), groups)
    assert learner.kind == "mlp"
    assert told["mlp"] < 0.1 < 0.4 < told["ridge"]


def test_members_differ_less_where_there_is_more_to_learn_from() -> None:
    spreads = []
    for n in (30, 300):
        x, y = data(n)
        ensemble = Ensemble.fit(Learner("ridge", 1.0), x, y, np.arange(n), 0)
        assert ensemble.predict(x[:7]).shape == (MEMBERS, 7, 3)
        spreads.append(ensemble.predict(x[:7]).std(axis=0).mean())
    assert spreads[1] < spreads[0] / 2
