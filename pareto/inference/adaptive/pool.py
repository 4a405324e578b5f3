"""A pool of answers that rules are fitted to and measured on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pareto.errors import ParetoError
from pareto.inference.adaptive.curve import best_of_curve

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pool:
    """Several answers to each of several prompts."""

    utility: Floats
    """(prompts, samples), finite."""
    tokens: Floats
    """(prompts, samples) generated for each."""
    spread: Floats | None = None
    """(prompts,) standard deviation of utility, predicted by what has not seen these prompts' answers."""

    def __post_init__(self) -> None:
        shape = self.utility.shape
        if self.utility.ndim != 2 or min(shape) < 1 or self.tokens.shape != shape:
            raise ParetoError(
                f"pool: utility {shape} and tokens {self.tokens.shape}; wanted (prompts, samples) of both"
            )
        if not (np.isfinite(self.utility).all() and np.isfinite(self.tokens).all()):
            raise ParetoError("pool: a utility or a number of tokens is NaN or infinite; leave that prompt out")
        if self.spread is not None and self.spread.shape != shape[:1]:
            raise ParetoError(f"pool: spread {self.spread.shape}; wanted one for each of {shape[0]} prompts")

    @cached_property
    def gains(self) -> Floats:
        """Expected gain of the best of 1 … samples over one answer, (prompts, samples)."""
        # From the first one, so that answers of equal utility gain exactly nothing.
        above = self.utility - self.utility[:, :1]
        curve = best_of_curve(above, range(1, above.shape[1] + 1))
        return np.asarray(curve - above.mean(axis=1, keepdims=True))

    def take(self, rows: Integers) -> Pool:
        """Some of the prompts."""
        return Pool(self.utility[rows], self.tokens[rows], None if self.spread is None else self.spread[rows])

    def equalised(self, seed: int = 0) -> Pool:
        """Prompts of equal difficulty: utilities give way to the normal scores of their ranks, ties in random order.

        What was predicted stays, so that whoever trusts it must lose by it.
        """
        shuffled = np.random.default_rng(seed).random(self.utility.shape)
        rank = np.argsort(np.lexsort((shuffled, self.utility), axis=1), axis=1)
        return replace(self, utility=np.asarray(stats.norm.ppf((rank + 0.5) / self.utility.shape[1])))
