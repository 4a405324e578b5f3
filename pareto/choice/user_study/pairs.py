"""Which pair to show next: the one whose answer is expected to tell most.

All candidates are judged together, on equally likely people drawn from the posterior.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pareto.choice.user_study.posterior import Posterior, answer_chances

Floats = NDArray[np.float64]
PEOPLE = 400


def chances(differences, people):
    w, sharpness, ties, slip = people
    left, tie = answer_chances((differences @ w.T) * sharpness, ties, slip)
    return np.stack([left, tie, 1 - left - tie])  # (3, c, people)


def information(differences, posterior, values, rng):
    people = posterior.draw(PEOPLE, rng)
    p = np.maximum(chances(differences, people), 1e-12)
    mean = p.mean(axis=2)
    return (p * np.log(p)).sum(0).mean(-1) - (mean * np.log(mean)).sum(0)


def gain(differences, posterior, values, rng):
    people = posterior.draw(PEOPLE, rng)
    p = chances(differences, people)
    w = people[0]
    u = (p @ w / len(w)) @ values.T  # (3,c,points)
    return u.max(-1).sum(0) - (w.mean(0) @ values.T).max()
