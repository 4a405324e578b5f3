"""What is recommended, and when to stop."""

from __future__ import annotations

import numpy as np
import pytest

from pareto.choice.user_study.duels import Duel
from pareto.choice.user_study.result import advise, summarise

# A quarter circle: the best point for weights w lies in the direction of w.
ANGLES = np.linspace(0, np.pi / 2, 9)
FRONT = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
IDS = [f"p{k}" for k in range(9)]


def duel(difference, answer) -> Duel:
    return Duel("r", "p", "?", "a", "b", "", "", 1, 1, tuple(difference), False, answer)


def answered(weights, count, seed=0, chance=0.0):
    rng = np.random.default_rng(seed)
    d = FRONT[rng.integers(9, size=count)] - FRONT[rng.integers(9, size=count)]
    right = np.where(d @ weights > 0, 1.0, -1.0)
    return d, np.where(rng.random(count) < chance, -right, right)


def test_before_any_answer() -> None:
    nothing = summarise([], IDS, FRONT, ("kind", "short"))
    assert nothing.weights == pytest.approx({"kind": 0.5, "short": 0.5})
    assert nothing.best == "p4"
    assert not nothing.stop
    assert nothing.text.startswith("No answer yet")


def test_a_person_who_wants_kindness_gets_the_kindest() -> None:
    d, a = answered([1.0, 0.0], 60)
    duels = [duel(x, "left" if y > 0 else "right") for x, y in zip(d, a, strict=True)]
    told = summarise(duels, IDS, FRONT, ("kind", "short"), "ann")
    assert told.best in ("p0", "p1")
    assert told.low["kind"] < told.weights["kind"] < told.high["kind"]
    assert told.weights["kind"] > 0.8
    assert sum(told.weights.values()) == pytest.approx(1)
    assert told.person == "ann"


def test_both_bad_and_skipped_say_nothing() -> None:
    told = [duel(FRONT[0] - FRONT[8], "left")] * 3
    quiet = [duel(FRONT[8] - FRONT[0], "both_bad"), duel(FRONT[8] - FRONT[0], "skip")]
    with_them, without = (summarise(d, IDS, FRONT, ("kind", "short")) for d in (told + quiet, told))
    assert with_them.weights == without.weights
    assert (with_them.duels, with_them.answered) == (3, 5)


def test_clear_answers_end_the_study() -> None:
    assert not advise(*answered(np.array([0.7, 0.3]), 5), FRONT).stop
    assert advise(*answered(np.array([0.7, 0.3]), 80), FRONT).stop


def test_who_answers_at_random_is_never_told_to_stop() -> None:
    # Many policies and four objectives: nothing is the best for everybody.
    rng = np.random.default_rng(0)
    front = np.abs(rng.normal(size=(40, 4)))
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    stopped = 0
    for _ in range(20):
        pairs = rng.integers(40, size=(30, 2))
        d, a = front[pairs[:, 0]] - front[pairs[:, 1]], rng.choice([-1.0, 1.0], 30)
        stopped += advise(d, a, front).stop
    assert stopped == 0


def test_a_policy_that_is_best_for_all_weights_is_sure() -> None:
    d, a = answered(np.array([0.5, 0.5]), 12)
    best = advise(d, a, np.vstack([FRONT, [[2.0, 2.0]]]))
    assert (best.best, best.stop) == (9, True)
    assert best.p_best == pytest.approx(1)
    assert best.loss == pytest.approx(0)
