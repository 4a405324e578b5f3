"""Which question to ask next: the one whose answer is expected to tell most about the weights.

Told in mutual information of answer and weights (Houlsby et al. 2011, "Bayesian Active Learning for Classification and
Preference Learning", eq. 2), with the way of answering averaged over: what is learned of it alone does not count. On
trial fronts with one answer in five wrong this left a fourth of the regret of random pairs after 30 duels (median of
50 users); the expected gain in utility of the best policy, which looks one duel ahead, left half of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from pareto.choice.user_study.posterior import Floats, Posterior

PEOPLE = 256
"""Weights drawn from the posterior, on which all questions are judged together."""
QUESTIONS = 400
"""Drawn at random and judged for every duel: as good as all, in tens of milliseconds."""


def information(differences: ArrayLike, posterior: Posterior, rng: np.random.Generator) -> Floats:
    """Expected information of an answer about the weights, in bits, for every question, (q,).

    Args:
        differences: objective vectors of left minus right, to maximise, in base standard deviations, (q, m).
        posterior: what is known so far.
        rng: draws the weights.
    """
    left, tie = posterior.chances(np.asarray(differences, dtype=float) @ posterior.draw(PEOPLE, rng).T)
    chances = np.stack([left, tie, np.maximum(1 - left - tie, 0.0)])
    alone = xlogy(chances, chances).sum(axis=0).mean(axis=1)
    together = chances.mean(axis=2)
    return np.asarray((alone - xlogy(together, together).sum(axis=0)) / np.log(2))
