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

from pareto.simplex import from_sticks

Floats = NDArray[np.float64]

SHARPNESS = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
"""How surely a difference decides, per base standard deviation of w·d; equally likely beforehand."""
TIES = np.array([0.05, 0.3, 1.0, 3.0])
"""Odds of a tie against either side where nothing differs; equally likely beforehand."""
SLIP = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4])
"""Chance that left and right are mixed up; the prior falls linearly to 0 at one half."""
PARTICLES = 1024
"""Per round: the first from the prior, and as many again where they are needed."""
_PRIOR = np.log(np.broadcast_to(0.5 - SLIP, (len(SHARPNESS), len(TIES), len(SLIP))).copy())
_PRIOR -= logsumexp(_PRIOR)
_ROUNDS, _KERNELS, _ENOUGH = 3, 64, 400


@dataclass(frozen=True)
class Posterior:
    """Weighted particles; the prior where no answer says anything."""

    weights: Floats
    """(n, m), on the simplex."""
    mass: Floats
    """(n,), sums to 1."""
    people: Floats
    """(n, sharpness, ties, slip): log-probability of each way of answering, given the weights."""

    @cached_property
    def mean(self) -> Floats:
        """Expected weights, (m,)."""
        return np.asarray(self.mass @ self.weights)

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Low and high of the central interval of every weight, (m,) each."""
        order = np.argsort(self.weights, axis=0)
        below = np.cumsum(self.mass[order], axis=0)
        ends = [(below < (1 - level) / 2).sum(axis=0), (below < (1 + level) / 2).sum(axis=0)]
        last = len(self.mass) - 1
        low, high = (np.take_along_axis(self.weights, order[np.minimum(e, last), range(len(e))][None], 0) for e in ends)
        return low[0], high[0]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
        """Equally likely people: weights (count, m), sharpness, ties and slip (count,) each."""
        # Systematic: fewer repetitions than independent draws.
        at = np.searchsorted(np.cumsum(self.mass), (np.arange(count) + rng.random()) / count)
        rows = np.minimum(at, len(self.mass) - 1)
        flat = self.people[rows].reshape(count, -1)
        which = (flat + rng.gumbel(size=flat.shape)).argmax(axis=1)
        s, t, e = np.unravel_index(which, self.people.shape[1:])
        return self.weights[rows], SHARPNESS[s], TIES[t], SLIP[e]


def infer(differences: ArrayLike, answers: ArrayLike, seed: int = 0) -> Posterior:
    """The posterior over weights, from Dirichlet(1, …, 1).

    Args:
        differences: objective vectors of left minus right, to maximise, in base standard deviations, (duels, m).
        answers: 1 for left, −1 for right, 0 for a tie, (duels,).
        seed: of the particles.
    """
    d, a = np.asarray(differences, dtype=float), np.asarray(answers, dtype=float)
    m = d.shape[1]
    rng = np.random.default_rng(seed)
    w = _spread(m, seed)
    likelihood = _log_likelihood(w, d, a)
    proposal = np.zeros(len(w))  # log-density of what was drawn, relative to the prior, summed over the rounds
    mixture = [lambda x: np.zeros(len(x))]
    for _ in range(_ROUNDS):
        target = logsumexp(likelihood, axis=(1, 2, 3))
        mass = np.exp(target - proposal - logsumexp(target - proposal))
        if 1 / (mass**2).sum() > _ENOUGH:
            break
        kernels = _kernels(w, mass, rng)
        more = _draw(kernels, rng)
        w, likelihood = np.concatenate([w, more]), np.concatenate([likelihood, _log_likelihood(more, d, a)])
        mixture.append(lambda x, k=kernels: _log_density(k, x))
        # Multiple importance sampling with the balance heuristic (Veach and Guibas 1995): all rounds count as one.
        proposal = logsumexp([q(w) for q in mixture], axis=0)
    target = logsumexp(likelihood, axis=(1, 2, 3))
    mass = np.exp(target - proposal - logsumexp(target - proposal))
    return Posterior(w, mass, likelihood - target[:, None, None, None])


def answer_chances(x: Floats, ties: Floats, slip: Floats) -> tuple[Floats, Floats]:
    """Chances of left and of a tie.

    Args:
        x: sharpness · w·d, (..., people).
        ties: (people,).
        slip: (people,).

    Returns:
        Two of the shape of x.
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
        tied = np.log(e[:, ~decisive]).sum(axis=1)[:, None] + np.log(TIES) * (~decisive).sum()
        won, rest, right = squared[:, decisive], 1 - squared[:, decisive], agrees[:, decisive]
        chosen = [np.log(won + rest * np.where(right, np.float32(1 - s), np.float32(s))).sum(axis=1) for s in SLIP]
        out[:, k] = (tied - np.stack(even, axis=1))[:, :, None] + np.stack(chosen, axis=1)[:, None]
    return out + _PRIOR


@lru_cache(maxsize=8)
def _spread(m: int, seed: int) -> Floats:
    """Particles of the prior, evenly spread, (PARTICLES, m)."""
    from scipy.stats import qmc

    return np.array([from_sticks(u) for u in qmc.Sobol(m - 1, rng=seed).random(PARTICLES)])


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
