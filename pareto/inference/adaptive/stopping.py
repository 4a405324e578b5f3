"""When to stop drawing: as soon as another answer is expected to bring less than it costs.

Where the distribution of utility is known, to stop as soon as the expected improvement of another answer falls below
the price is optimal (Weitzman 1979, Pandora's boxes; for best-of-N, arXiv 2510.01394). It is not known here, so the
next answer is predicted from those that are drawn: Gaussian utilities with an unknown mean, and an unknown variance
whose prior is the prompt's predicted spread, which make the prediction Student's t (Gelman et al. 2013, "Bayesian
Data Analysis", 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, stdtr

from pareto.errors import ParetoError

Floats = NDArray[np.float64]

PRIOR = 4.0
"""How many answers a predicted spread is worth beside those that are drawn."""


@dataclass(frozen=True)
class Stopping:
    """Stops where another answer is not worth its price."""

    price: float
    """Of one answer, in units of utility."""
    cap: int
    """Answers at most."""
    least: int = 2
    """Answers before the first question; without a predicted spread two still tell too little."""

    def __post_init__(self) -> None:
        if not self.price >= 0 or not np.isfinite(self.price):
            raise ParetoError(f"stopping: a price of {self.price:g}; wanted a number of utility, 0 or more")
        _check_counts(self.cap, self.least)

    def enough(self, utilities: Sequence[float], spread: float | None) -> bool:
        """Whether to stop.

        Args:
            utilities: of the answers so far; those that are not finite have failed and tell nothing.
            spread: standard deviation of utility that is predicted for the prompt; ``None``: nothing is.
        """
        if len(utilities) >= self.cap:
            return True
        known = np.asarray(utilities, dtype=float)
        known = known[np.isfinite(known)]
        if len(utilities) < self.least or not len(known):
            return False
        return bool(improvement(known, spread)[-1] < self.price)


@dataclass(frozen=True)
class PassFail:
    """Stops at the first answer that passed its verification."""

    passed: float
    """Utility from which an answer has passed."""
    cap: int
    """Answers at most."""

    def __post_init__(self) -> None:
        _check_counts(self.cap, 1)

    def enough(self, utilities: Sequence[float], spread: float | None) -> bool:
        """See ``Stopping.enough``; the spread does not matter."""
        return len(utilities) >= self.cap or any(u >= self.passed for u in utilities)


def improvement(utilities: ArrayLike, spread: ArrayLike | None = None) -> Floats:
    """Expected improvement of one more answer over the best so far, after each answer.

    Args:
        utilities: in the order in which they were drawn, (..., n), finite.
        spread: predicted standard deviation, (...); ``None``: nothing is predicted.

    Returns:
        (..., n), in units of utility; infinite while too few answers are known.
    """
    drawn = np.asarray(utilities, dtype=float)
    n = np.arange(1, drawn.shape[-1] + 1)
    # From the first one, so that answers of equal utility have a spread of exactly zero.
    past = drawn - drawn[..., :1]
    mean = np.cumsum(past, axis=-1) / n
    squares = np.maximum(np.cumsum(past**2, axis=-1) - n * mean**2, 0.0)
    freedom = np.asarray(n - 1.0)
    if spread is not None:
        freedom = freedom + PRIOR
        squares = squares + PRIOR * np.asarray(spread, dtype=float)[..., None] ** 2
    known = freedom > 1  # the t distribution has no mean below
    freedom = np.where(known, freedom, 2.0)
    scale = np.sqrt(squares / freedom * (1 + 1 / n))
    gap = np.maximum.accumulate(past, axis=-1) - mean
    z = np.divide(gap, scale, out=np.zeros_like(gap), where=scale > 0)
    density = np.exp(-(freedom + 1) / 2 * np.log1p(z**2 / freedom) - betaln(0.5, freedom / 2)) / np.sqrt(freedom)
    expected = scale * ((freedom + z**2) / (freedom - 1) * density - z * stdtr(freedom, -z))
    return np.asarray(np.where(known, np.maximum(expected, 0.0), np.inf))


def _check_counts(cap: int, least: int) -> None:
    if cap < 1 or least < 1:
        raise ParetoError(f"stopping: at least {least} and at most {cap} answers; wanted 1 or more of each")
