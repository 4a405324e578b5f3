"""The simulated user study runs for real, in the documented shape, and informative questions pay."""

from __future__ import annotations

import numpy as np
import pytest

from pareto.bench.user_study import made_up_front, run
from pareto.front.dominance import nondominated


@pytest.fixture(scope="module")
def result() -> dict:
    return run(users=4, duels=15, seed=1)


def test_the_shape_is_as_documented(result: dict) -> None:
    assert [row["duels"] for row in result["rows"]] == [0, 5, 10, 15]
    assert all(set(row) == {"duels", "informative", "random"} for row in result["rows"])
    assert all(isinstance(value, float) for value in result["figures"].values())


def test_both_ways_start_from_the_same_and_learn(result: dict) -> None:
    first, *_, last = result["rows"]
    assert first["informative"] == first["random"] > 0
    assert last["informative"] < first["informative"] / 2


def test_the_ratio_is_that_of_the_table_and_lies_in_its_interval(result: dict) -> None:
    last, figures = result["rows"][-1], result["figures"]
    assert figures["ratio"] == pytest.approx(last["informative"] / last["random"])
    assert figures["ratio_low"] <= figures["ratio"] <= figures["ratio_high"]


def test_who_guesses_is_not_told_to_stop(result: dict) -> None:
    assert result["figures"]["control_stop"] == 0


def test_the_same_seed_gives_the_same() -> None:
    assert run(users=2, duels=5, seed=3) == run(users=2, duels=5, seed=3)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_soup_is_better_than_any_of_a_grid(seed: int) -> None:
    front = made_up_front(seed)
    soups = np.stack(np.meshgrid(*[np.linspace(0, 1.5, 16)] * 4), axis=-1).reshape(-1, 4)
    gains = front.reach * np.expm1(-front.turn * soups) / np.expm1(-front.turn)
    values = gains - soups @ front.cost
    for weights in (*np.random.default_rng(seed).dirichlet(np.ones(4), 20), np.eye(4)[0]):
        best, grid = front.best(weights) @ weights, (values @ weights).max()
        assert grid - 1e-9 <= best <= grid + 0.1


def test_the_points_of_a_front_are_on_it_and_spread() -> None:
    front = made_up_front(0)
    assert nondominated(front.points).all()
    assert len(np.unique(front.points, axis=0)) == 60
    assert 0.3 < np.ptp(front.points, axis=0).min() < np.ptp(front.points, axis=0).max() < 10


@pytest.mark.slow
def test_thirty_informative_duels_leave_less_than_half_the_regret_of_random_pairs() -> None:
    # Four objectives, one answer in five wrong, the median of 16 people; the README has that of 50.
    result = run(users=16, duels=30, seed=0)
    last = result["rows"][-1]
    assert last["duels"] == 30
    assert last["informative"] < last["random"] / 2
    assert result["figures"]["coverage"] > 0.8
    assert result["figures"]["control_stop"] < 0.1
