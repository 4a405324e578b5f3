"""The search against made-up soups: better than chance, within its constraints, and the same every time."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from landscapes import Landscape

from pareto.front.indicators import hypervolume
from pareto.soups.search import APART, best, design_size, propose, start_design
from pareto.soups.surrogate import Surrogate

BOX = (0.0, 1.5)


def searched(land: Landscape, n: int, batch: int = 4) -> np.ndarray:
    """The experts and what is proposed after them, (n, m)."""
    x = np.eye(land.m)
    while len(x) < n:
        count = min(batch, n - len(x))
        new = propose(x, land.measure(x), reference=-np.ones(land.m), box=BOX, count=count, seed=0)
        x = np.vstack([x, new])
    return x


@functools.cache
def found(m: int, seed: int) -> np.ndarray:
    return searched(Landscape(m, seed), 30)


def volume(land: Landscape, x: np.ndarray) -> float:
    """Of the truth, so that luck does not count."""
    return hypervolume(land.truth(x), -np.ones(land.m))


@pytest.mark.parametrize("n", [15, 30])
def test_it_finds_more_than_random_soups_do(n):
    ours, box, simplex = [], [], []
    for seed in range(3):
        land, rng = Landscape(3, seed), np.random.default_rng(seed)
        ours.append(volume(land, found(3, seed)[:n]))
        for _ in range(5):
            box.append(volume(land, np.vstack([np.eye(3), rng.uniform(*BOX, (n - 3, 3))])))
            simplex.append(volume(land, np.vstack([np.eye(3), rng.dirichlet(np.ones(3), n - 3)])))
    assert np.mean(ours) > 1.02 * np.mean(box)
    assert np.mean(ours) > 1.25 * np.mean(simplex)


def test_where_all_soups_are_equal_nothing_is_gained():
    land = Landscape(2, 0, flat=True)
    x = searched(land, 15)
    assert len(np.unique(x, axis=0)) == 15
    assert volume(land, x) == pytest.approx(1.0)  # what any single soup has
    # The surrogate is not taken in by the lucky ones either.
    assert hypervolume(Surrogate.fit(x, land.measure(x), 0).mean(x), -np.ones(2)) < 1.15


@pytest.mark.parametrize("k", [2, 3, 8])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_it_begins_with_the_adapters_alone_and_all_of_them(k, n):
    first = propose(np.zeros((0, k)), np.zeros((0, 2)), reference=-np.ones(2), box=BOX, count=k + 1, seed=0)
    np.testing.assert_array_equal(first, np.vstack([np.eye(k), np.ones(k)]))
    known = start_design(k, BOX, np.zeros((0, k)), n)
    rest = start_design(k, BOX, known, design_size(k) - n)
    np.testing.assert_array_equal(np.vstack([known, rest]), start_design(k, BOX, np.zeros((0, k)), design_size(k)))


def test_a_small_box_is_kept_from_the_start():
    design = start_design(3, (-0.2, 0.5), np.zeros((0, 3)), 9)
    assert design.min() >= -0.2
    assert design.max() <= 0.5


def test_nothing_is_proposed_twice():
    x = found(3, 0)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) + np.eye(len(x))
    assert apart.min() > APART
    assert x.min() >= 0
    assert x.max() <= 1.5


def test_the_same_arguments_give_the_same_proposals_and_a_batch_is_the_start_of_a_larger_one():
    x = found(3, 1)[:10]
    y = Landscape(3, 1).measure(x)
    ask = functools.partial(propose, x, y, reference=-np.ones(3), box=BOX, seed=3)
    np.testing.assert_array_equal(ask(count=4), ask(count=4))
    np.testing.assert_array_equal(ask(count=2), ask(count=4)[:2])


def test_proposals_keep_the_constraint():
    x = found(3, 1)[:12]
    y = Landscape(3, 1).measure(x)
    new = propose(
        x, y, reference=-np.ones(3), box=BOX, count=4, seed=0, violation=lambda q: np.linalg.norm(q, axis=1) - 1.2
    )
    assert (np.linalg.norm(new, axis=1) <= 1.2 + 1e-3).all()


def test_a_constraint_that_nothing_keeps_is_broken_least():
    x = found(2, 1)[:12]
    y = Landscape(2, 1).measure(x)
    new = propose(x, y, reference=-np.ones(2), box=BOX, count=1, seed=0, violation=lambda q: 1 + q.sum(axis=1))
    assert new.sum() < 0.2


@functools.cache
def fitted() -> tuple[Landscape, Surrogate, np.ndarray]:
    land = Landscape(3, 0)
    x = found(3, 0)
    surrogate = Surrogate.fit(x, land.measure(x), 0)
    return land, surrogate, surrogate.mean(x)


def served(weights: list[float], **more) -> np.ndarray:
    _, surrogate, z = fitted()
    return best(surrogate, weights, ideal=z.max(axis=0), span=np.ptp(z, axis=0), box=BOX, **more)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_corner_is_served_by_the_best_of_its_objective(k):
    land, _, z = fitted()
    grid = np.random.default_rng(0).uniform(*BOX, (4000, 3))
    reached = land.truth(served(np.eye(3)[k].tolist()))[0, k]
    assert reached > land.truth(grid)[:, k].max() - 0.25
    assert reached > z[:, k].max() - 0.25


def test_equal_weights_are_served_by_a_balanced_soup():
    land, _, z = fitted()
    short = ((z.max(axis=0) - land.truth(served([1 / 3] * 3))[0]) / np.ptp(z, axis=0)).max()
    others = ((z.max(axis=0) - land.truth(np.eye(3))) / np.ptp(z, axis=0)).max(axis=1)
    average = ((z.max(axis=0) - land.truth(np.full(3, 1 / 3))[0]) / np.ptp(z, axis=0)).max()
    assert short < others.min()
    assert short < average


def test_the_answer_is_the_same_every_time_and_keeps_the_constraint():
    np.testing.assert_array_equal(served([0.5, 0.3, 0.2]), served([0.5, 0.3, 0.2]))
    kept = served([0.5, 0.3, 0.2], violation=lambda q: q.sum(axis=1) - 1.0)
    assert kept.sum() <= 1.0 + 1e-3


def test_the_answer_moves_with_the_weights_instead_of_standing_still():
    path = np.array([served([w, 1 - w - 0.2, 0.2]) for w in np.linspace(0.1, 0.7, 13)])
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert (steps > 0).mean() > 0.9
    assert steps.max() < 0.5 * np.linalg.norm(path[-1] - path[0])


def test_the_answer_stays_by_a_measured_soup_where_nothing_is_certainly_better():
    land = Landscape(2, 0, rough=0.5, flat=True)
    x = np.random.default_rng(0).uniform(*BOX, (15, 2))
    surrogate = Surrogate.fit(x, land.measure(x), 0)
    chosen = best(surrogate, [0.5, 0.5], ideal=np.ones(2), span=np.ones(2), box=BOX)
    assert np.linalg.norm(x - chosen, axis=1).min() < 0.05
