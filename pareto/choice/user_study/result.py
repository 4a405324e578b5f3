"""What the answers say: weights with their uncertainty, the policy to take, and whether to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pareto.choice.user_study.duels import Duel
from pareto.choice.user_study.posterior import Floats, Posterior, infer

LEVEL = 0.9
"""Of the intervals."""
SURE = 0.9
"""Probability that the policy is the best at which more duels are not worth while."""
STABLE = 8
"""Duels over which the best policy may not change, where it is not that sure."""
LITTLE = 0.1
"""Expected loss, as a share of what it was before the first duel, below which a stable policy is good enough."""
LEAST = 10
"""Duels before any advice to stop."""
_SIGN = {"left": 1.0, "right": -1.0, "tie": 0.0}


@dataclass(frozen=True)
class Result:
    """For one person, or for all together."""

    person: str | None
    """``None``: all together."""
    weights: dict[str, float]
    """Objective → posterior mean; sums to 1, in base standard deviations of the objectives."""
    low: dict[str, float]
    """Objective → lower end of the central 90 % interval."""
    high: dict[str, float]
    best: str
    """Id of the point of the best expected utility."""
    p_best: float
    """Probability that no other of the points is better."""
    loss: float
    """Expected utility that the best point for the true weights has more than ``best``, in base standard deviations."""
    duels: int
    """Answers that say something of the weights: left, right and tie."""
    answered: int
    """With those that do not: both bad, and skipped."""
    stop: bool
    text: str
    """What to do now, in one sentence."""


def summarise(
    duels: Sequence[Duel], ids: Sequence[str], values: ArrayLike, objectives: Sequence[str], person: str | None = None
) -> Result:
    """The result of one person's duels or of several people's.

    Args:
        duels: in the order answered.
        ids: the points that may be recommended, n ≥ 1.
        values: their objective vectors, to maximise, in base standard deviations, (n, m).
        objectives: names, (m,).
        person: whose duels these are; ``None``: of all.
    """
    differences, answers = evidence(duels, len(objectives))
    advice = advise(differences, answers, values)
    posterior = infer(differences, answers)
    low, high = posterior.interval(LEVEL)
    best = ids[advice.best]
    return Result(
        person=person,
        weights=dict(zip(objectives, posterior.mean.tolist(), strict=True)),
        low=dict(zip(objectives, low.tolist(), strict=True)),
        high=dict(zip(objectives, high.tolist(), strict=True)),
        best=best,
        p_best=advice.p_best,
        loss=advice.loss,
        duels=len(answers),
        answered=len(duels),
        stop=advice.stop,
        text=_text(best, advice, len(answers)),
    )


class Advice(NamedTuple):
    """Which point to take, and whether to go on asking."""

    best: int
    """The point of the best expected utility."""
    p_best: float
    loss: float
    stop: bool


def advise(differences: Floats, answers: Floats, values: ArrayLike) -> Advice:
    """What follows from answers, as ``infer`` takes them, for points of these values, (n, m)."""
    z = np.asarray(values, dtype=float)
    best, p_best, loss = _decide(infer(differences, answers), z)
    stop = len(answers) >= LEAST and (
        p_best >= SURE
        or (_is_little(loss, z) and _decide(infer(differences[:-STABLE], answers[:-STABLE]), z)[0] == best)
    )
    return Advice(best, p_best, loss, stop)


def evidence(duels: Sequence[Duel], m: int) -> tuple[Floats, Floats]:
    """Differences (duels, m) and answers (duels,) as ``infer`` takes them; both bad and skipped say nothing."""
    told = [duel for duel in duels if duel.answer in _SIGN]
    return np.array([d.difference for d in told], dtype=float).reshape(-1, m), np.array([_SIGN[d.answer] for d in told])


def _decide(posterior: Posterior, z: Floats) -> tuple[int, float, float]:
    """Point of the best expected utility, the probability that it is the best, and the expected loss."""
    utility = posterior.weights @ z.T
    expected = posterior.mass @ utility
    best = int(expected.argmax())
    wins = utility[:, best] >= utility.max(axis=1)
    return (
        best,
        min(1.0, float(posterior.mass[wins].sum())),
        float(posterior.mass @ utility.max(axis=1) - expected[best]),
    )


def _is_little(loss: float, z: Floats) -> bool:
    """Against the loss without any answer: whoever answers at random hardly ever gets there."""
    return loss <= LITTLE * _decide(infer(np.empty((0, z.shape[1])), []), z)[2]


def _text(best: str, advice: Advice, duels: int) -> str:
    if not duels:
        return "No answer yet: all weights are equally likely."
    if not advice.stop:
        return (
            f"Go on: {best} leads and is the best with a probability of {advice.p_best:.0%}, after {_answers(duels)}."
        )
    why = f"it is the best with a probability of {advice.p_best:.0%}"
    if advice.p_best < SURE:
        why = f"it has led for {STABLE} answers and little could still be won"
    return f"You can stop: take {best}; after {_answers(duels)} {why}."


def _answers(n: int) -> str:
    return "1 answer" if n == 1 else f"{n} answers"
