"""What a way to spend answers reaches on a pool, and what it draws: expectations per prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from pareto.errors import ParetoError
from pareto.inference.adaptive.pool import Floats, Integers, Pool
from pareto.inference.adaptive.prices import Drawn
from pareto.inference.adaptive.terms import Terms


@dataclass(frozen=True, eq=False)
class Spending:
    """One way to spend answers; (p,) each, but for ``chances``."""

    gain: Floats
    """Utility of the answer returned, less that of one answer."""
    tokens: Floats
    """Generated."""
    chances: Floats
    """(p, n): probability to draw 1 … n answers."""
    unlucky: Floats
    """Gain of as many answers where their number does not depend on what was drawn: what is above it is the luck
    of stopping at a good one."""

    @property
    def draws(self) -> Floats:
        """Expected number of answers, (p,)."""
        return np.asarray(self.chances @ np.arange(1, self.chances.shape[1] + 1))


def in_advance(pool: Pool, chances: Floats) -> Spending:
    """The number of answers is drawn before any of them.

    Args:
        pool: p prompts with n answers.
        chances: probability of 1 … n answers, (p, n).
    """
    gain = (chances * pool.gains).sum(axis=1)
    draws = chances @ np.arange(1, chances.shape[1] + 1)
    return Spending(gain, draws * pool.tokens.mean(axis=1), chances, gain)


def counted(pool: Pool, counts: Integers | int) -> Spending:
    """So many answers to each prompt, (p,) or for all alike.

    Raises:
        ParetoError: more than the pool has, or none.
    """
    most = pool.utility.shape[1]
    if np.min(counts) < 1 or np.max(counts) > most:
        raise ParetoError(
            f"{np.max(counts)} answers cannot be measured on a pool of {most} per prompt; wanted 1 to {most}"
        )
    n = np.arange(1, most + 1)
    chances = (np.broadcast_to(counts, len(pool.utility))[:, None] == n).astype(float)
    return in_advance(pool, chances)


def shuffled(pool: Pool, spent: Spending) -> Spending:
    """The same numbers of answers, dealt to the prompts at random: what they bring where they know nothing."""
    return in_advance(pool, np.broadcast_to(spent.chances.mean(axis=0), spent.chances.shape))


def even(pool: Pool, spent: Spending) -> Spending:
    """The same tokens in all, with equally many answers to each prompt: a whole number or the next, by chance."""
    most = pool.utility.shape[1]
    n = float(np.clip(spent.tokens.sum() / pool.tokens.mean(axis=1).sum(), 1, most))
    chances = np.maximum(1 - np.abs(n - np.arange(1, most + 1)), 0.0)
    return in_advance(pool, np.broadcast_to(chances, pool.utility.shape))


def stopped(pool: Pool, drawn: Drawn, caps: Integers, price: float, terms: Terms) -> Spending:
    """Drawing stops at a price; means over shuffled orders.

    Args:
        pool: p prompts.
        drawn: its orders, at least ``terms.against`` answers of each.
        caps: answers at most, (p,).
        price: of an answer.
        terms: ``least`` and ``chunk``; and ``against``, whose exact expectation is known, so that what it reaches in
            the same orders takes most of their luck off.
    """
    counts = drawn.counts(price, caps, terms)
    chances = np.stack([(counts == n).mean(axis=0) for n in range(1, pool.utility.shape[1] + 1)], axis=1)
    lengths = np.cumsum(np.take_along_axis(pool.tokens[None], drawn.picked, axis=2), axis=2)
    tokens = np.take_along_axis(lengths, counts[..., None] - 1, axis=2)[..., 0] - lengths[..., terms.against - 1]
    gain = drawn.best_at(counts) - drawn.best[..., terms.against - 1]
    fixed = counted(pool, terms.against)
    return Spending(
        gain.mean(axis=0) + fixed.gain,
        tokens.mean(axis=0) + fixed.tokens,
        chances,
        (chances * pool.gains).sum(axis=1),
    )


def joined(parts: Sequence[Spending], rows: Sequence[Integers]) -> Spending:
    """Parts of a pool as a whole; ``rows`` are the prompts of each."""
    back = np.argsort(np.concatenate(rows))
    names = [field.name for field in fields(Spending)]
    return Spending(*(np.concatenate([getattr(part, name) for part in parts])[back] for name in names))
