"""What an answer may cost: the price at which stopping early keeps a share of the gain, read off a pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.errors import ParetoError
from pareto.inference.adaptive.curve import best_of_curve
from pareto.inference.adaptive.orders import orders
from pareto.inference.adaptive.stopping import improvement
from pareto.inference.adaptive.terms import Terms

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SHUFFLES = 200
"""Orders of each prompt's pool."""
STEPS = 1024
"""Prices that are told apart."""


def fit_price(
    scores: ArrayLike,
    cap: int,
    share: float = 0.98,
    against: int = 8,
    spread: ArrayLike | None = None,
    least: int = 2,
    chunk: int = 1,
    seed: int = 0,
) -> float:
    """The highest price at which stopping keeps a share of what a fixed number of answers gains over one.

    Args:
        scores: utilities of the pool, (prompts, n), n at least ``cap`` and ``against``.
        cap: answers at most.
        share: of the gain, in (0, 1].
        against: the fixed number of answers.
        spread: predicted for the prompts, (prompts,).
        least: answers before the first look.
        chunk: answers drawn between two looks.
        seed: of the orders of the pool.

    Returns:
        In units of utility; zero where even drawing up to the cap keeps less.

    Raises:
        ParetoError: a count or a share out of range, or scores that are not finite.
    """
    terms = Terms(cap, against, share, least, chunk, seed)
    pool = np.asarray(scores, dtype=float)
    if pool.ndim != 2:
        raise ParetoError(f"price: scores {pool.shape}; wanted (prompts, answers)")
    gain = float((best_of_curve(pool, [against])[:, 0] - pool.mean(axis=1)).mean())
    drawn = Drawn.of(pool, max(cap, against), spread, seed)
    return highest_price(drawn, np.full(len(pool), cap), (1 - share) * gain, terms)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Shuffled orders of a pool, and what was known in each of them after each answer."""

    picked: Integers
    """(shuffles, prompts, cap) indices into each prompt's pool."""
    best: Floats
    """(shuffles, prompts, cap) best utility so far."""
    expected: Floats
    """(shuffles, prompts, cap) expected improvement of another answer."""

    @classmethod
    def of(
        cls, scores: Floats, cap: int, spread: ArrayLike | None = None, seed: int = 0, shuffles: int = SHUFFLES
    ) -> Drawn:
        """Shuffle a pool (prompts, n) so many times and keep the first ``cap`` of each order.

        Raises:
            ParetoError: fewer than ``cap`` answers.
        """
        if cap > scores.shape[1]:
            raise ParetoError(f"a cap of {cap} answers cannot be measured on a pool of {scores.shape[1]} per prompt")
        picked = orders(scores.shape, cap, shuffles, seed)
        utility = np.take_along_axis(scores[None], picked, axis=2)
        known = None if spread is None else np.broadcast_to(np.asarray(spread, dtype=float), utility.shape[:2])
        return cls(picked, np.maximum.accumulate(utility, axis=2), improvement(utility, known))

    def utility(self, scores: Floats) -> Floats:
        """Of the answers in their orders, (shuffles, prompts, cap), for the pool that was shuffled."""
        return np.take_along_axis(scores[None], self.picked, axis=2)

    def counts(self, price: float, caps: Integers, terms: Terms) -> Integers:
        """After how many answers one stops, (shuffles, prompts).

        Args:
            price: of an answer.
            caps: answers at most, (prompts,).
            terms: ``least`` and ``chunk``.
        """
        n = np.arange(1, self.best.shape[2] + 1)
        looks = (n >= terms.least) & (n % terms.chunk == 0)
        ends = (looks & (self.expected < price)) | (n >= caps[:, None])
        return np.asarray(ends.argmax(axis=2) + 1)

    def best_at(self, counts: Integers) -> Floats:
        """Best utility of the first answers, (shuffles, prompts), for counts of that shape or (prompts,)."""
        at = np.broadcast_to(counts, self.best.shape[:2])
        return np.take_along_axis(self.best, at[..., None] - 1, axis=2)[..., 0]


def highest_price(drawn: Drawn, caps: Integers, lost: float, terms: Terms) -> float:
    """The highest price that loses so much at most; a higher one stops every order earlier, so the loss rises with it.

    Args:
        drawn: the pool, at least ``terms.against`` answers of each order.
        caps: answers at most, (prompts,).
        lost: mean utility that may be lost to ``terms.against`` answers of the same orders.
        terms: ``against``, ``least`` and ``chunk``.

    Returns:
        Zero where no price loses so little.
    """
    allowed = float(drawn.best[..., terms.against - 1].mean()) - lost
    tried = np.unique(drawn.expected[np.isfinite(drawn.expected)])
    tried = tried[np.unique(np.linspace(0, len(tried) - 1, STEPS).astype(int))]
    low, high = -1, len(tried) - 1
    while low < high:
        middle = (low + high + 1) // 2
        counts = drawn.counts(float(tried[middle]), caps, terms)
        # 1e-12: sums of equal utilities differ in their last bits.
        if float(drawn.best_at(counts).mean()) >= allowed - 1e-12:
            low = middle
        else:
            high = middle - 1
    return float(tried[low]) if low >= 0 else 0.0
