"""Fronts of a few points on which each way of choosing is known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pareto.choice.candidates import Candidates
from pareto.choice.decide import Wish, decide
from pareto.errors import ParetoError
from pareto.front.frame import Frame

NAMES = ("good", "cost")


def candidates(means, signs=(1.0, -1.0), unit=1.0) -> Candidates:
    """Policies measured on one prompt, so that their means are these."""
    table = np.array(means, dtype=float) * [unit, 1.0]
    frame = Frame(NAMES, signs, (0.0, 0.0), (unit, 1.0), (-1.0, -1.0))
    ids = tuple(f"p{i}" for i in range(len(table)))
    return Candidates(ids, table[:, None], frame, table.min(axis=0), table.max(axis=0))


CONCAVE = [(0.0, 0.0), (0.45, 0.6), (1.0, 1.0)]
"""Less cost is better; the middle lies in a hollow: below the line between its neighbours, yet non-dominated."""


def test_no_weighted_sum_finds_a_point_in_a_hollow_and_the_reference_point_does():
    front = candidates(CONCAVE)
    for w in np.linspace(0, 1, 101):
        wish = Wish("weights", {"good": float(w), "cost": float(1 - w)})
        assert decide(front, front.ids, wish) != "p1"
    assert decide(front, front.ids, Wish("reference", {"good": 0.5, "cost": 0.6})) == "p1"


def test_balance_is_nearest_to_the_best_of_everything():
    front = candidates([(0.0, 0.0), (0.6, 0.5), (1.0, 1.0)])
    # From the ideal (1, 0), in shares of the ranges: (1, 0), (0.4, 0.5), (0, 1).
    assert decide(front, front.ids) == "p1"
    assert decide(front, ["p0", "p2"]) == "p0"  # as near as p2; equals go by id


def test_most_takes_the_best_of_one_objective_and_of_equals_the_better_rest():
    front = candidates([(1.0, 0.4), (1.0, 0.3), (0.2, 0.0)])
    assert decide(front, front.ids, Wish("most", objective="good")) == "p1"
    assert decide(front, front.ids, Wish("most", objective="cost")) == "p2"


def test_a_dominated_policy_is_never_chosen_unless_all_that_dominate_it_are_out():
    front = candidates([(1.0, 0.0), (0.5, 0.5)])
    assert decide(front, front.ids, Wish("reference", {"good": 0.5, "cost": 0.5})) == "p0"
    assert decide(front, ["p1"]) == "p1"


def test_what_the_reference_leaves_out_asks_for_nothing():
    front = candidates([(0.0, 0.0), (0.6, 0.5), (1.0, 1.0)])
    assert decide(front, front.ids, Wish("reference", {"good": 2.0})) == "p2"


def test_the_knee_stands_out_or_there_is_none():
    corner = candidates([(0.0, 0.0), (0.3, 0.02), (0.9, 0.1), (0.93, 0.4), (0.96, 0.7), (1.0, 1.0)])
    assert decide(corner, corner.ids, Wish("knee")) == "p2"
    with pytest.raises(ParetoError, match="no knee"):
        decide(candidates(CONCAVE), ["p0", "p1", "p2"], Wish("knee"))


def test_an_unknown_objective_is_told_with_the_nearest():
    front = candidates(CONCAVE)
    with pytest.raises(ParetoError, match="no objective 'godo'; did you mean 'good'"):
        decide(front, front.ids, Wish("weights", {"godo": 1.0}))


WISHES = [
    Wish(),
    Wish("weights", {"good": 0.3, "cost": 0.7}),
    Wish("most", objective="good"),
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda w: w.by)
@given(means=arrays(float, (6, 2), elements=st.integers(0, 50)), seed=st.integers(0, 99))
def test_neither_order_nor_unit_changes_the_choice(means, seed, wish):
    front = candidates(means)
    chosen = decide(front, front.ids, wish)
    assert decide(candidates(means, unit=1000.0), front.ids, wish) == chosen
    order = np.random.default_rng(seed).permutation(len(means))
    shuffled = replace(front, ids=tuple(front.ids[i] for i in order), scores=front.scores[order])
    assert decide(shuffled, front.ids, wish) == chosen
