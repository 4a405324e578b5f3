"""What adaptive numbers of answers save on prompts that they were not fitted to.

Each fifth of the prompts is measured by rules that are fitted to the others. A rule that draws less also gains less,
and the gain of best-of-n is so flat that its last 2 % cost 5 % of the tokens: so each rule is held against the same
tokens spent evenly, and only what is above that is called a saving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from pareto.inference.adaptive.allocation import allocate
from pareto.inference.adaptive.pool import Floats, Integers, Pool
from pareto.inference.adaptive.prices import Drawn, highest_price
from pareto.inference.adaptive.promise import ORDERS, Promise
from pareto.inference.adaptive.savings import Savings, folds, ratio
from pareto.inference.adaptive.spending import Spending, counted, joined, shuffled, stopped
from pareto.inference.adaptive.terms import Terms

FOLDS = 5
"""Parts of the prompts, each measured by rules that are fitted to the others; and within those, of what a promise is
learned from and priced on."""
Rule = Literal["stopping", "learned", "allocation", "both"]
RULES: tuple[Rule, ...] = ("stopping", "learned", "allocation", "both")
BUDGETS = 4
"""Tried per answer: mean numbers of answers in steps of a quarter."""


def evaluate(pool: Pool, terms: Terms | None = None, rules: Sequence[Rule] = RULES) -> dict[str, Any]:
    """Measure stopping at a price, stopping by a learned promise, allocation by predicted spread, and it with a price,
    each held out; see ``_told``.

    Args:
        pool: with at least ``cap`` answers per prompt; without a predicted spread only stopping is measured.
        terms: what is asked.
        rules: that are measured.

    Returns:
        ``prompts``, ``samples``, ``fixed`` (``n``, ``tokens`` and ``gain`` of the fixed number) and ``rules``: what
        each of them draws and saves. Plain data for JSON.

    Raises:
        ParetoError: too few prompts or answers.
    """
    asked = terms or Terms()
    rows = folds(len(pool.utility), asked.seed, FOLDS)
    ways: dict[Rule, Callable[[Pool, Pool, Terms], Spending]] = {"stopping": _stopping, "learned": _learned}
    if pool.spread is not None:
        ways |= {"allocation": _allocation, "both": _both}
    fixed = counted(pool, asked.against)
    told: dict[str, Any] = {}
    for name in (name for name in rules if name in ways):
        parts = [ways[name](pool.take(_others(held, pool)), pool.take(held), asked) for held in rows]
        told[name] = _told(pool, joined(parts, rows), fixed, asked)
    return {
        "prompts": len(pool.utility),
        "samples": pool.utility.shape[1],
        "fixed": {"n": asked.against, "tokens": float(fixed.tokens.mean()), "gain": float(fixed.gain.mean())},
        "rules": told,
    }


def _allocation(fit: Pool, held: Pool, terms: Terms) -> Spending:
    """With the least budget that reaches the aim on the half that is fitted to."""
    wanted = terms.aim * float(counted(fit, terms.against).gain.mean())
    budgets = (b / BUDGETS for b in range(BUDGETS, BUDGETS * terms.cap + 1))
    # 1e-12: sums of equal utilities differ in their last bits.
    enough = (b for b in budgets if counted(fit, _allocated(fit, b, terms)).gain.mean() >= wanted - 1e-12)
    return counted(held, _allocated(held, next(enough, float(terms.cap)), terms))


def _stopping(fit: Pool, held: Pool, terms: Terms) -> Spending:
    full = (np.full(len(pool.utility), terms.cap) for pool in (fit, held))
    return _priced(fit, held, [tuple(full)], terms)


def _both(fit: Pool, held: Pool, terms: Terms) -> Spending:
    budgets = range(terms.least, terms.cap + 1)
    return _priced(fit, held, [(_allocated(fit, b, terms), _allocated(held, b, terms)) for b in budgets], terms)


def _learned(fit: Pool, held: Pool, terms: Terms) -> Spending:
    """Stop where the promise learned from some prompts is below a price that is fitted to it on others."""
    most = max(terms.cap, terms.against)
    drawn = Drawn.of(fit.utility, most, seed=terms.seed, shuffles=ORDERS)
    utility, expected = drawn.utility(fit.utility), np.empty(drawn.best.shape)
    for part in folds(len(fit.utility), terms.seed + 1, FOLDS):
        expected[:, part] = _promised(fit.take(_others(part, fit)), fit.take(part), utility[:, part], terms)
    lost = (1 - terms.aim) * float(counted(fit, terms.against).gain.mean())
    price = highest_price(replace(drawn, expected=expected), np.full(len(fit.utility), terms.cap), lost, terms)
    elsewhere = Drawn.of(held.utility, most, seed=terms.seed + 1)
    elsewhere = replace(elsewhere, expected=_promised(fit, held, elsewhere.utility(held.utility), terms))
    return stopped(held, elsewhere, np.full(len(held.utility), terms.cap), price, terms)


def _promised(fit: Pool, held: Pool, utility: Floats, terms: Terms) -> Floats:
    """What another answer promises after each of some, (shuffles, prompts, cap)."""
    promise = Promise.fit(fit.utility, terms.cap, fit.spread, terms.seed)
    spread = None if held.spread is None else np.broadcast_to(held.spread, utility.shape[:2])
    return promise.expected(utility, spread)


def _others(rows: Integers, pool: Pool) -> Integers:
    return np.setdiff1d(np.arange(len(pool.utility)), rows)


def _allocated(pool: Pool, budget: float, terms: Terms) -> Integers:
    assert pool.spread is not None  # who allocates is only asked where it is there
    return allocate(pool.spread, budget, terms.cap)


def _priced(fit: Pool, held: Pool, caps: Sequence[tuple[Integers, ...]], terms: Terms) -> Spending:
    """Stop at the highest price that reaches the aim on one half, under those caps that then draw the fewest tokens.

    Args:
        fit: the half that is fitted to.
        held: the half that is measured.
        caps: tried, for the prompts of both halves.
        terms: what is asked.
    """
    most = max(terms.cap, terms.against)
    drawn = Drawn.of(fit.utility, most, fit.spread, terms.seed)
    gain = float(counted(fit, terms.against).gain.mean())
    lost = (1 - terms.aim) * gain

    def fitted(here: Integers) -> tuple[bool, float, float]:
        price = highest_price(drawn, here, lost, terms)
        there = stopped(fit, drawn, here, price, terms)
        return bool(there.gain.mean() < gain - lost - 1e-9), float(there.tokens.mean()), price

    tried = [(*fitted(here), i) for i, (here, _) in enumerate(caps)]
    _, _, price, best = min(tried)
    elsewhere = Drawn.of(held.utility, most, held.spread, terms.seed + 1)
    return stopped(held, elsewhere, caps[best][1], price, terms)


def _told(pool: Pool, spent: Spending, fixed: Spending, terms: Terms) -> dict[str, Any]:
    """A rule against the fixed number, the same tokens spent evenly, and the same numbers of answers dealt at random.

    Returns:
        Mean ``draws`` and ``tokens``, what ``Savings`` says, and as shares of the fixed number's gain, with intervals,
        ``over_random`` and its two parts: ``from_difficulty``, since the numbers suit the prompts, and ``from_luck``,
        since drawing stopped at a good answer.
    """
    dealt = shuffled(pool, spent).gain
    parts = {
        "over_random": spent.gain - dealt,
        "from_difficulty": spent.unlucky - dealt,
        "from_luck": spent.gain - spent.unlucky,
    }
    told = {name: ratio(value, fixed.gain, terms.seed) for name, value in parts.items()}
    savings = Savings.of(pool, spent, fixed, terms.seed)
    verdict = savings.verdict(terms.share)
    if savings.real and told["from_difficulty"]["low"] <= 0:
        verdict += ", all by stopping at good answers: the prompts' difficulty saves nothing"
    return {
        "draws": float(spent.draws.mean()),
        "tokens": float(spent.tokens.mean()),
        **savings.told(),
        **told,
        "verdict": verdict,
    }
