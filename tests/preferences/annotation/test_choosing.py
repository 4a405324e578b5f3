"""Which comparisons to label: hand-made ensembles with known answers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pareto.config import Choosing
from pareto.objectives.ensemble.scores import PairScores
from pareto.preferences.annotation.choosing import choose, information
from pareto.preferences.annotation.questions import make
from pareto.records import Pair, Prompt, Question


def asked(*per_prompt: int) -> list[Question]:
    """So many questions on each of the prompts."""
    return [
        make("o", Prompt(f"p{p}", f"{p}?", "s"), ("a", f"b{k}")) for p, n in enumerate(per_prompt) for k in range(n)
    ]


def keys(questions: list[Question]) -> list[str]:
    return [f"{q.prompt_id}{q.second}" for q in questions]


def test_information_of_two_sure_members_that_contradict_each_other_is_one_bit() -> None:
    found = information(np.array([[50.0, -50.0], [50.0, 50.0], [0.0, 0.0]]))
    assert found == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)


def test_information_of_a_worked_example() -> None:
    """Members say 0.9 and 0.5: H(0.7) − (H(0.9) + H(0.5)) / 2 = 0.8813 − 0.7345 bits."""
    assert information(np.log(np.array([[9.0, 1.0]]))) == pytest.approx([0.1468], abs=1e-4)


def test_disagreement_and_information_rank_differently() -> None:
    """Two sure members far apart in strength disagree most in variance, but an answer would tell little."""
    scores = PairScores(np.array([[4.0, 20.0], [-1.0, 1.0], [0.1, 0.1]]))
    candidates = asked(1, 1, 1)
    assert keys(choose(candidates, scores, "disagreement", 2)) == ["p0b0", "p1b0"]
    assert keys(choose(candidates, scores, "infogain", 2))[0] == "p1b0"
    assert choose(candidates, scores, "disagreement", 1)[0].reason == "the members' margins spread by 11.31 nats"
    assert "bits about which member is right" in choose(candidates, scores, "infogain", 1)[0].reason


@pytest.mark.parametrize("how", ["random", "disagreement", "infogain"])
@pytest.mark.parametrize("budget", [1, 7, 12, 30])
def test_the_budget_is_filled_exactly_where_there_are_enough(how: Choosing, budget: int) -> None:
    candidates = asked(6, 4, 1, 1)
    scores = PairScores(np.random.default_rng(0).normal(size=(12, 5)))
    found = choose(candidates, scores, how, budget, seed=3)
    assert len({*keys(found)}) == len(found) == min(budget, 12)
    assert all(q.reason for q in found)
    assert keys(choose(candidates, scores, how, budget, seed=3)) == keys(found)


@pytest.mark.parametrize("how", ["disagreement", "infogain"])
def test_not_all_come_from_one_prompt(how: Choosing) -> None:
    candidates = asked(10, 10, 10, 2)
    margins = np.zeros((32, 2))
    margins[:10] = np.linspace(3, 2, 10)[:, None] * [1, -1]  # the first prompt's are the best ten
    margins[10:] = [0.1, -0.1]
    found = choose(candidates, PairScores(margins), how, 8)
    assert Counter(q.prompt_id for q in found) == {"p0": 2, "p1": 2, "p2": 2, "p3": 2}
    assert keys(found)[:2] == ["p0b0", "p0b1"]


def test_without_scores_or_with_one_member_it_is_random() -> None:
    candidates = asked(20)
    alone = choose(candidates, PairScores(np.arange(20.0)[:, None]), "disagreement", 5, seed=1)
    assert keys(alone) == keys(choose(candidates, None, "infogain", 5, seed=1))
    assert {q.reason for q in alone} == {"drawn at random"}
    assert keys(choose(candidates, None, "random", 5, seed=2)) != keys(alone)


def test_random_takes_all_alike() -> None:
    candidates = asked(5, 5)
    counts = Counter(k for seed in range(400) for k in keys(choose(candidates, None, "random", 3, seed)))
    assert min(counts.values()) > 80
    assert max(counts.values()) < 160


def test_what_is_labelled_already_and_what_stands_twice_is_left_out() -> None:
    candidates = asked(3) + asked(3)
    known = [Pair("0?", "b1", "a")]
    assert sorted(keys(choose(candidates, None, "random", 10, training_pairs=known))) == ["p0b0", "p0b2"]


def test_no_candidates() -> None:
    assert choose([], None, "random", 5) == []
    assert choose([], PairScores(np.zeros((0, 5))), "infogain", 5) == []
