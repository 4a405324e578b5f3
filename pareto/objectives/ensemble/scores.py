"""What an ensemble says of completions, and how its members become one reward."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pareto.config import Aggregation

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EnsembleScores:
    """Scores of n completions by k members, calibrated: σ of a difference of two is a probability."""

    members: Floats
    """(n, k), nats; each member's mean over the comparisons that it was calibrated on is 0."""
    band: float = 1.0
    """``lower`` and ``upper`` lie this many standard deviations around the mean."""

    @property
    def mean(self) -> Floats:
        """(n,)"""
        return np.asarray(self.members.mean(axis=1))

    @cached_property
    def spread(self) -> Floats:
        """(n,) standard deviation over members; 0 where there is one only."""
        return deviation(self.members)

    @property
    def lower(self) -> Floats:
        """(n,)"""
        return self.mean - self.band * self.spread

    @property
    def upper(self) -> Floats:
        """(n,)"""
        return self.mean + self.band * self.spread

    def aggregate(self, how: Aggregation, k: float = 1.0) -> Floats:
        """One reward per completion, (n,), see ``aggregate``."""
        return aggregate(self.members, how, k)

    def take(self, rows: NDArray[np.intp]) -> EnsembleScores:
        """Those of some completions."""
        return EnsembleScores(self.members[rows], self.band)


@dataclass(frozen=True, eq=False)
class PairScores:
    """What an ensemble says of n pairs of completions."""

    margins: Floats
    """(n, k) first minus second, by member."""
    band: float = 1.0

    @property
    def margin(self) -> Floats:
        """(n,) mean over members."""
        return np.asarray(self.margins.mean(axis=1))

    @cached_property
    def spread(self) -> Floats:
        """(n,) standard deviation of the margin over members."""
        return deviation(self.margins)

    @property
    def probability(self) -> Floats:
        """(n,) that the first is better."""
        return np.asarray(expit(self.margin))

    @property
    def lower(self) -> Floats:
        """(n,) probability at the margin's lower end."""
        return np.asarray(expit(self.margin - self.band * self.spread))

    @property
    def upper(self) -> Floats:
        """(n,)"""
        return np.asarray(expit(self.margin + self.band * self.spread))


def pair_scores(first: EnsembleScores, second: EnsembleScores) -> PairScores:
    """Pairs of scored completions, row by row."""
    return PairScores(first.members - second.members, first.band)


def aggregate(members: Floats, how: Aggregation, k: float = 1.0) -> Floats:
    """One reward per completion.

    ``mean``; ``min``, the worst member's (Coste et al. 2023, arXiv 2310.02743: worst-case optimisation); ``uwo``, mean
    minus k times the variance over members (there: uncertainty-weighted optimisation); ``lcb``, mean minus k times
    the standard deviation.

    Args:
        members: (n, k members).
        how: by name.
        k: of ``lcb`` and ``uwo``, 0 or more.

    Returns:
        (n,)
    """
    mean = members.mean(axis=1)
    if how == "min":
        return np.asarray(members.min(axis=1))
    if how == "lcb":
        return np.asarray(mean - k * deviation(members))
    if how == "uwo":
        return np.asarray(mean - k * deviation(members) ** 2)
    return np.asarray(mean)


def deviation(members: Floats) -> Floats:
    """(n,) standard deviation over members; 0 where there is one only."""
    return np.asarray(members.std(axis=1, ddof=1)) if members.shape[1] > 1 else np.zeros(len(members))
