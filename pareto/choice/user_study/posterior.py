"""From answers to a posterior over weights.

A person with weights w likes the left of two completions better by w·d, d the difference of their objective vectors.
Bradley–Terry with ties (Davidson 1970, "On Extending the Bradley-Terry Model to Accommodate Ties in Paired Comparison
Experiments", eq. 2.5) turns that into chances, with x = sharpness · w·d:

    P(left) : P(tie) : P(right) = 1 : ties · exp(−x/2) : exp(−x)

and with chance ``slip`` left and right are mixed up. Sharpness, ties and slip are unknown too and summed over on a
grid; the weights are particles, drawn evenly from the simplex and then anew where the likelihood is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, logsumexp

Floats = NDArray[np.float64]

SHARPNESS = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
"""How surely a difference decides, per base standard deviation of w·d; equally likely beforehand."""
TIES = np.array([0.05, 0.5, 2.0])
"""Odds of a tie against either side where nothing differs; equally likely beforehand."""
SLIP = np.array([0.01, 0.1, 0.2, 0.3, 0.4, 0.5])
"""Chance that left and right are mixed up; at one half a person guesses, which has a chance of 5 % beforehand."""
PARTICLES = 512
"""Per round: the first from the prior, and as many again, twice at most, where they are needed."""
_PRIOR = np.log(np.broadcast_to(0.6 - SLIP, (len(SHARPNESS), len(TIES), len(SLIP))))
_PRIOR = _PRIOR - logsumexp(_PRIOR)
_REFRESHED, _KERNELS, _ENOUGH = 2, 64, 250


@dataclass(frozen=True)
class Posterior:
    """Weighted particles; the prior where no answer says anything."""

    weights: Floats
    """(n, m), on the simplex."""
    mass: Floats
    """(n,), sums to 1."""
    people: Floats
    """(sharpness, ties, slip): probability of each way of answering."""

    @cached_property
    def mean(self) -> Floats:
        """Expected weights, (m,)."""
        return np.asarray(self.mass @ self.weights)

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Low and high end of the central interval of every weight, (m,) each."""
        order = np.argsort(self.weights, axis=0)
        below = np.cumsum(self.mass[order], axis=0)
        low, high = (
            np.take_along_axis(self.weights, np.take_along_axis(order, (below < q).sum(axis=0)[None], 0), 0)[0]
            for q in ((1 - level) / 2, (1 + level) / 2)
        )
        return low, high

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Equally likely weights, (count, m)."""
        # Systematic: fewer repetitions than independent draws.
        rows = np.searchsorted(np.cumsum(self.mass), (np.arange(count) + rng.random()) / count)
        return self.weights[np.minimum(rows, len(self.mass) - 1)]

    def chances(self, gap: Floats) -> tuple[Floats, Floats]:
        """Chances of left and of a tie at w·d, over all ways of answering; of the shape of ``gap``."""
        half = np.geomspace(1e-3, 32, 64)
        at = np.concatenate([-half[::-1], [0.0], half])
        left, tie = answer_chances(SHARPNESS[:, None, None, None] * at, TIES[:, None, None], SLIP[:, None])
        # One curve for all: a table and straight lines instead of a hundred ways of answering for every gap.
        curves = (np.tensordot(self.people, np.broadcast_to(c, (*self.people.shape, len(at))), 3) for c in (left, tie))
        left, tie = (np.interp(gap, at, curve) for curve in curves)
        return left, tie


def infer(differences: ArrayLike, answers: ArrayLike) -> Posterior:
    """The posterior over weights, from Dirichlet(1, …, 1); the same for the same arguments.

    Args:
        differences: objective vectors of left minus right, to maximise, in base standard deviations, (duels, m).
        answers: 1 for left, −1 for right, 0 for a tie, (duels,).
    """
    d, a = np.asarray(differences, dtype=float), np.asarray(answers, dtype=float)
    return _infer(d.tobytes(), a.tobytes(), d.shape[1])


@lru_cache(maxsize=64)
def _infer(differences: bytes, answers: bytes, m: int) -> Posterior:
    # Kept: an app asks for the same again at every click.
    d, a = np.frombuffer(differences).reshape(-1, m), np.frombuffer(answers)
    rng = np.random.default_rng(0)
    w = _spread(m)
    likelihood = _log_likelihood(w, d, a)
    drawn: list[Floats] = []  # kernels of the rounds after the first
    mass = _mass(w, likelihood, drawn)
    while 1 / (mass**2).sum() < _ENOUGH and len(drawn) < _REFRESHED:
        drawn.append(_kernels(w, mass, rng))
        more = _draw(drawn[-1], rng)
        w, likelihood = np.concatenate([w, more]), np.concatenate([likelihood, _log_likelihood(more, d, a)])
        mass = _mass(w, likelihood, drawn)
    given = np.exp(likelihood - logsumexp(likelihood, axis=(1, 2, 3), keepdims=True))
    return Posterior(w, mass, np.asarray(np.tensordot(mass, given, 1)))


def _mass(w: Floats, likelihood: Floats, drawn: list[Floats]) -> Floats:
    """Of the particles, (n,): multiple importance sampling with the balance heuristic (Veach and Guibas 1995)."""
    density = logsumexp([np.zeros(len(w)), *(_log_density(kernels, w) for kernels in drawn)], axis=0)
    log = logsumexp(likelihood, axis=(1, 2, 3)) - density
    return np.asarray(np.exp(log - logsumexp(log)))


def answer_chances(x: Floats, ties: Floats, slip: Floats) -> tuple[Floats, Floats]:
    """Chances of left and of a tie.

    Args:
        x: sharpness · w·d.
        ties: odds of a tie where x is 0.
        slip: chance that left and right are mixed up; the three broadcast.

    Returns:
        Both of the broadcast shape, or one that broadcasts to it.
    """
    e = np.exp(-np.abs(x) / 2)
    total = 1 + ties * e + e * e
    right_way = (e * e + (1 - e * e) * (1 - slip)) / total
    tie = ties * e / total
    return np.where(x > 0, right_way, 1 - tie - right_way), tie


def _log_likelihood(w: Floats, d: Floats, a: Floats) -> Floats:
    """With the prior of the ways of answering, (n, sharpness, ties, slip)."""
    # In single precision: 200 answers then cost tens of milliseconds, and the sums stay right to 1e-4.
    decisive = a != 0
    gap = (w @ d.T).astype(np.float32)
    agrees = gap * a > 0
    out = np.empty((len(w), *_PRIOR.shape))
    for k, sharpness in enumerate(SHARPNESS):
        e = np.exp(np.abs(gap) * np.float32(-sharpness / 2))
        squared = e * e
        even = [np.log(1 + np.float32(t) * e + squared).sum(axis=1) for t in TIES]
        tied = np.abs(gap[:, ~decisive]).sum(axis=1)[:, None] * (-sharpness / 2) + np.log(TIES) * (~decisive).sum()
        won, rest, right = squared[:, decisive], 1 - squared[:, decisive], agrees[:, decisive]
        chosen = [np.log(won + rest * np.where(right, np.float32(1 - s), np.float32(s))).sum(axis=1) for s in SLIP]
        out[:, k] = (tied - np.stack(even, axis=1))[:, :, None] + np.stack(chosen, axis=1)[:, None]
    return out + _PRIOR


@lru_cache(maxsize=8)
def _spread(m: int) -> Floats:
    """Particles of the prior, (about PARTICLES, m): every draw in all rotations, so that none has an advantage."""
    drawn = np.random.default_rng(0).dirichlet(np.ones(m), PARTICLES // m)
    return np.concatenate([np.roll(drawn, k, axis=1) for k in range(m)])


def _kernels(w: Floats, mass: Floats, rng: np.random.Generator) -> Floats:
    """Parameters of Dirichlet kernels around particles drawn by mass, with the spread of the posterior, (k, m)."""
    rows = rng.choice(len(w), _KERNELS, p=mass)
    mean = mass @ w
    spread = (mass @ (w - mean) ** 2).sum()
    # A Dirichlet of concentration c around its mean has variance mean·(1 − mean)/(c + 1); half the spread, so that
    # the mixture is a little wider than the posterior and not a second copy of its particles.
    concentration = max(2 * (mean * (1 - mean)).sum() / max(spread, 1e-9) - 1, 1.0)
    return np.asarray(1 + concentration * w[rows])


def _draw(kernels: Floats, rng: np.random.Generator) -> Floats:
    gamma = rng.standard_gamma(np.repeat(kernels, PARTICLES // len(kernels), axis=0))
    return np.asarray(gamma / gamma.sum(axis=1, keepdims=True))


def _log_density(kernels: Floats, w: Floats) -> Floats:
    """Of the mixture relative to Dirichlet(1, …, 1), (n,)."""
    m = kernels.shape[1]
    constant = gammaln(kernels.sum(axis=1)) - gammaln(kernels).sum(axis=1) - gammaln(m)
    density = np.log(np.maximum(w, 1e-12)) @ (kernels - 1).T + constant
    return np.asarray(logsumexp(density, axis=1) - np.log(len(kernels)))
