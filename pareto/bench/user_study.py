"""The user study on simulated people: what informative questions gain over random pairs.

A person has weights from Dirichlet(1, …, 1), likes the better of two policies for them, and says the opposite one time
in five. The same model reads the answers in both ways of asking. Regret is the utility of the best policy for the true
weights minus that of the one that the recommended weights pick, on a fine front, in base standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from pareto.choice.user_study.pairs import QUESTIONS, information
from pareto.choice.user_study.posterior import Floats, Posterior, infer
from pareto.choice.user_study.result import LEVEL, advise

OBJECTIVES, POINTS, FRONTS, WRONG = 4, 60, 5, 0.2
MOST = 1.5
"""Largest coefficient of a soup."""
GUESSING = 20
"""People at most who answer at random, as a control."""
EVERY = 5
"""Duels between two lines of the table."""
Say = Callable[[str], None]


class Front(NamedTuple):
    """Soups of four experts: each gains on its own objective, less and less, and costs the others.

    With λₖ of expert k, objective k is reachₖ · (1 − exp(−turnₖ λₖ)) / (1 − exp(−turnₖ)) − Σⱼ λⱼ costⱼₖ. So the best
    soup for any weights is known exactly, and the front is as fine as can be.
    """

    reach: Floats
    """(m,): gain of the expert alone, in base standard deviations."""
    turn: Floats
    """(m,): how early more of an expert stops to help."""
    cost: Floats
    """(m, m): of expert j (row) to objective k, 0 on the diagonal."""
    points: Floats
    """(POINTS, m): objective vectors of the policies that are compared, on the front and far from each other."""

    def best(self, weights: Floats) -> Floats:
        """Objective vectors of the best soups with coefficients from 0 to ``MOST``, (..., m), for weights (..., m)."""
        own = self.reach * self.turn / (1 - np.exp(-self.turn))
        with np.errstate(divide="ignore"):  # no weight at all: λ = −∞, cut to 0
            soup = np.log(weights * own / (weights @ self.cost.T)) / self.turn
        soup = np.clip(soup, 0, MOST)
        gain = self.reach * (1 - np.exp(-self.turn * soup)) / (1 - np.exp(-self.turn))
        return np.asarray(gain - soup @ self.cost)


class Talk(NamedTuple):
    """One simulated person's study."""

    regret: list[float]
    """After 0, EVERY, 2·EVERY … duels."""
    covered: Floats
    """(m,): 1 where the 90 % interval at the end holds the true weight."""
    moved: float
    """Largest change of a recommended weight from the 1/m that it was at the start."""
    stop: bool
    """Whether the advice at the end is to stop."""


def made_up_front(seed: int) -> Front:
    """A front with full gains of 0.6 to 4.5 base standard deviations.

    Those of SmolLM2-135M's experts lay between 0.5 and 3.8, of its soups up to 4.5.
    """
    rng = np.random.default_rng(seed)
    m = OBJECTIVES
    reach = np.exp(rng.uniform(np.log(0.6), np.log(4.5), m))
    cost = rng.uniform(0.1, 0.4, (m, m)) * reach * (1 - np.eye(m))
    front = Front(reach, rng.uniform(0.9, 2.2, m), cost, np.empty((0, m)))
    many = front.best(rng.dirichlet(np.ones(m), 2000))
    return front._replace(points=many[_spread_out(many / np.ptp(many, axis=0))])


def run(users: int = 50, duels: int = 30, seed: int = 0, say: Say = lambda line: None) -> dict[str, Any]:
    """Simulate.

    Args:
        users: people, each asked in both ways; the first ``GUESSING`` once more, answering at random.
        duels: questions to each, at least ``EVERY``.
        seed: of people, fronts and chance.
        say: told how far it is.

    Returns:
        ``bench``, ``users``, ``duels``, ``seed``; ``rows``: median regret of both ways by ``duels``; ``figures``:
        ``ratio`` of the medians at the end with a 95 % bootstrap interval over users, ``coverage`` of the 90 %
        intervals of the weights, share advised to ``stop``; ``control_moved`` (median) and ``control_stop`` of those
        who answer at random.
    """
    fronts = [made_up_front(seed * FRONTS + k) for k in range(FRONTS)]
    people = np.random.default_rng(seed).dirichlet(np.ones(OBJECTIVES), users)

    def ask(way: str, wrong: float, people: Floats = people) -> list[Talk]:
        say(f"{len(people)} people, {way} pairs, {wrong:.0%} wrong answers")
        return [
            talk(fronts[k % FRONTS], w, duels, wrong, way == "informative", np.random.default_rng([seed, k]))
            for k, w in enumerate(people)
        ]

    informative, random = ask("informative", WRONG), ask("random", WRONG)
    control = ask("informative", 0.5, people[:GUESSING])
    by = {"informative": [t.regret for t in informative], "random": [t.regret for t in random]}
    ends = (np.array(by["informative"])[:, -1], np.array(by["random"])[:, -1])
    low, high = stats.bootstrap(
        ends, _ratio, paired=True, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return {
        "bench": "user-study",
        "users": users,
        "duels": duels,
        "seed": seed,
        "rows": [
            {"duels": k * EVERY, **{way: float(np.median(np.array(r)[:, k])) for way, r in by.items()}}
            for k in range(duels // EVERY + 1)
        ],
        "figures": {
            "ratio": float(_ratio(ends[0], ends[1])),
            "ratio_low": float(low),
            "ratio_high": float(high),
            "coverage": float(np.mean([t.covered for t in informative])),
            "stop": float(np.mean([t.stop for t in informative])),
            "control_moved": float(np.median([t.moved for t in control])),
            "control_stop": float(np.mean([t.stop for t in control])),
        },
    }


def talk(front: Front, weights: Floats, duels: int, wrong: float, informative: bool, rng: np.random.Generator) -> Talk:
    """Ask one person; every pair of points at most once."""
    first, second = np.triu_indices(POINTS, 1)
    questions = rng.permutation(front.points[first] - front.points[second])
    asked, answers = np.empty((0, OBJECTIVES)), np.empty(0)
    posterior = infer(asked, answers)
    regret = [_regret(front, weights, posterior)]
    for k in range(duels):
        # In random order: the first ones are a sample, and the very first is a random pair.
        at = int(information(questions[:QUESTIONS], posterior, rng).argmax()) if informative else 0
        asked = np.vstack([asked, questions[at]])
        answers = np.append(answers, np.sign(questions[at] @ weights) * (-1 if rng.random() < wrong else 1))
        questions = rng.permutation(np.delete(questions, at, axis=0))
        is_shown = (k + 1) % EVERY == 0
        if informative or is_shown:  # random pairs need no posterior to go on
            posterior = infer(asked, answers)
        if is_shown:
            regret.append(_regret(front, weights, posterior))
    low, high = posterior.interval(LEVEL)
    return Talk(
        regret,
        np.asarray((low <= weights) & (weights <= high), dtype=float),
        float(np.abs(posterior.mean - 1 / OBJECTIVES).max()),
        advise(asked, answers, front.points).stop,
    )


def _regret(front: Front, weights: Floats, posterior: Posterior) -> float:
    return float(weights @ (front.best(weights) - front.best(posterior.mean)))


def _ratio(informative: Floats, random: Floats, axis: int = -1) -> Floats:
    return np.asarray(np.median(informative, axis=axis) / np.median(random, axis=axis))


def _spread_out(z: Floats) -> list[int]:
    """Rows far from each other: always the one farthest from those taken (Gonzalez 1985)."""
    taken = [0]
    apart = np.linalg.norm(z - z[0], axis=1)
    while len(taken) < POINTS:
        taken.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(z - z[taken[-1]], axis=1))
    return taken
