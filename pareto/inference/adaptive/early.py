"""What it saves to stop at the first verified pass, and to reject answers at their beginning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pareto.errors import ParetoError
from pareto.inference.adaptive.orders import orders
from pareto.inference.adaptive.pool import Floats, Pool
from pareto.inference.adaptive.prices import SHUFFLES
from pareto.inference.adaptive.rejection import Rejection, fit_rejection, promise, rejected
from pareto.inference.adaptive.savings import Savings, folds, ratio, saves
from pareto.inference.adaptive.spending import Spending, counted, joined
from pareto.inference.adaptive.terms import Terms


def evaluate_passes(passes: ArrayLike, tokens: ArrayLike, n: int = 8, seed: int = 0) -> dict[str, Any]:
    """What stopping at the first verified pass saves; a pass is returned wherever n answers hold one, so none is lost.

    Args:
        passes: which answers pass, (prompts, samples).
        tokens: of each, same shape.
        n: answers at most.
        seed: of the orders and the bootstrap.

    Returns:
        ``success`` (share of prompts with a pass among n, the same either way), mean ``tokens`` and ``fixed_tokens``
        per prompt, ``tokens_saved`` with its interval, and a ``verdict``. Plain data for JSON.

    Raises:
        ParetoError: shapes that differ, or n out of range.
    """
    pool = Pool(np.asarray(passes, dtype=bool).astype(float), np.asarray(tokens, dtype=float))
    fixed = counted(pool, n)
    drawn = _until_pass(pool, n, seed)
    saved = ratio(fixed.tokens - drawn, fixed.tokens, seed)
    return {
        "n": n,
        "success": float((fixed.gain + pool.utility.mean(axis=1)).mean()),
        "tokens": float(drawn.mean()),
        "fixed_tokens": float(fixed.tokens.mean()),
        "tokens_saved": saved,
        "verdict": f"{saves(saved)} at the same success",
    }


def evaluate_rejection(prefixes: Mapping[int, ArrayLike], pool: Pool, terms: Terms | None = None) -> dict[str, Any]:
    """What early rejection saves of best-of-n, held out.

    Args:
        prefixes: tokens of a beginning → utilities of such beginnings, (prompts, samples) each.
        pool: the whole answers.
        terms: ``against`` is how many answers are begun; ``share`` and ``seed``.

    Returns:
        What ``Savings`` says, the two folds' ``rules``, the ``correlation`` of beginnings with whole answers within
        prompts by their length (null where there is none), and a ``verdict``. Plain data for JSON.

    Raises:
        ParetoError: shapes that differ, or too few prompts or answers.
    """
    asked = terms or Terms()
    begun = {after: np.asarray(values, dtype=float) for after, values in prefixes.items()}
    for after, values in begun.items():
        if values.shape != pool.utility.shape:
            raise ParetoError(
                f"beginnings of {after} tokens: {values.shape}; wanted {pool.utility.shape} as the answers"
            )
    fixed = counted(pool, asked.against)
    first, second = folds(len(pool.utility), asked.seed)
    parts, rules = [], []
    for fit, held in ((second, first), (first, second)):
        known = {after: values[fit] for after, values in begun.items()}
        there = pool.take(fit)
        rules.append(fit_rejection(known, there.utility, there.tokens, asked.against, asked.aim, asked.seed))
        parts.append(_under(rules[-1], begun[rules[-1].after][held], pool.take(held), asked))
    savings = Savings.of(pool, joined(parts, [first, second]), fixed, asked.seed)
    told = {str(after): promise(values, pool.utility) for after, values in begun.items()}
    return {
        "n": asked.against,
        "rules": [asdict(rule) for rule in rules],
        "correlation": {after: None if np.isnan(value) else value for after, value in told.items()},
        **savings.told(),
        "verdict": savings.verdict(asked.share),
    }


def _until_pass(pool: Pool, n: int, seed: int) -> Floats:
    """Expected tokens until the first pass, n answers at most, (p,)."""
    picked = orders(pool.utility.shape, n, SHUFFLES, seed)
    passed, length = (np.take_along_axis(x[None], picked, axis=2) for x in (pool.utility, pool.tokens))
    drawn = np.cumsum(passed, axis=2) - passed == 0
    return np.asarray((length * drawn).sum(axis=2).mean(axis=0))


def _under(rule: Rejection, prefix: Floats, pool: Pool, terms: Terms) -> Spending:
    best, tokens = rejected(rule, prefix, pool.utility, pool.tokens, terms.against, seed=terms.seed)
    all_begun = counted(pool, terms.against)
    # All in all as many answers, whoever finishes: only what they reach and cost differs.
    return Spending(best - pool.utility.mean(axis=1), tokens, all_begun.chances, all_begun.gain)
