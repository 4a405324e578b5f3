import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.soups.weights import axes_weights, mixed_to, soup_of

EXPERTS = {"a": "expert-a", "b": "expert-b", "c": "expert-c"}


def mixtures(m):
    return st.lists(st.floats(0, 1), min_size=m, max_size=m).filter(lambda w: sum(w) > 0.1)


def test_the_largest_coefficient_of_a_soup_is_the_scale():
    assert soup_of({"a": 0.25, "b": 0.5, "c": 0.25}, EXPERTS, 1.2) == pytest.approx(
        {"expert-a": 0.6, "expert-b": 1.2, "expert-c": 0.6}
    )
    assert soup_of({"a": 1.0, "b": 0.0}, EXPERTS, 1) == {"expert-a": 1}


def test_an_objective_without_an_expert_is_left_out():
    assert soup_of({"a": 0.2, "b": 0.8}, {"a": "expert-a"}, 1) == {"expert-a": 1}
    assert soup_of({"b": 1.0}, {"a": "expert-a"}, 1) == {}


@given(mixtures(3))
def test_for_experts_of_one_objective_each_the_coefficients_follow_the_weights(raw):
    weights = dict(zip("abc", (np.array(raw) / sum(raw)).round(6).tolist(), strict=True))
    corners = {n: {k: float(k == n) for k in "abc"} for n in "abc"}
    assert soup_of(weights, EXPERTS, 1, corners) == pytest.approx(soup_of(weights, EXPERTS, 1), abs=1e-9)


@given(mixtures(4), st.floats(0.3, 1))
def test_mixing_backbones_gives_the_preference_back(raw, beta):
    preference = np.array(raw) / sum(raw)
    trained = axes_weights(4, beta)
    assert mixed_to(preference, trained) @ trained == pytest.approx(preference, abs=1e-9)


def test_a_corner_lies_outside_the_simplex_of_backbones():
    trained = {n: dict(zip("abc", row, strict=True)) for n, row in zip("abc", axes_weights(3, 0.7), strict=True)}
    # 0.7 λ_a + 0.15 · 2 λ_b = 1 and 0.15 λ_a + 0.85 λ_b = 0, by hand: λ_a = 17/11, λ_b = −3/11.
    assert soup_of({"a": 1.0, "b": 0.0, "c": 0.0}, EXPERTS, 2, trained) == pytest.approx(
        {"expert-a": 2, "expert-b": -6 / 17, "expert-c": -6 / 17}
    )


def test_backbones_have_beta_on_their_own_objective_and_share_the_rest():
    assert axes_weights(4, 0.7) == pytest.approx(np.full((4, 4), 0.1) + 0.6 * np.eye(4))
    assert axes_weights(3, 1.0) == pytest.approx(np.eye(3))
