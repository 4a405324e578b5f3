"""How many answers each prompt gets, before any is drawn: where the next one is expected to bring most.

Damani et al. 2024 (arXiv 2410.04707), with the gain of the best of n in a closed form: utilities that are Gaussian on
each prompt, of a spread that ``difficulty`` predicts.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from pareto.errors import ParetoError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@functools.lru_cache(maxsize=8)
def gaussian_best(cap: int) -> Floats:
    """E[max of n] of standard Gaussians for n = 1 … cap, (cap,), read-only; concave in n."""
    n = np.arange(1, cap + 1)
    best = np.asarray(stats.order_statistic(stats.Normal(), r=n, n=n).mean())
    best[0] = 0.0  # the quadrature leaves 1e-21
    best.setflags(write=False)
    return best


def allocate(spread: ArrayLike, budget: float, cap: int, least: int = 1) -> Integers:
    """Give each answer of a budget to the prompt where it is expected to bring most.

    Optimal, since each prompt's gains fall with n. Equal spreads get equal counts, but for what cannot be divided.

    Args:
        spread: predicted standard deviation of utility, (p,), finite and not negative.
        budget: answers per prompt on average, ``least`` to ``cap``.
        cap: answers to one prompt at most.
        least: answers to one prompt at least.

    Returns:
        (p,). Their mean is at most the budget; less where a spread of zero leaves nothing to gain.

    Raises:
        ParetoError: a spread or a count out of range.
    """
    order, gains = _granted(spread, budget, cap, least)
    p = gains.shape[1]
    return np.asarray(least + np.bincount(order % max(p, 1), minlength=p))


def marginal_gain(spread: ArrayLike, budget: float, cap: int) -> float:
    """What the last answer of a budget is expected to bring: the price at which prompts like these get so many.

    Args:
        spread: as in ``allocate``.
        budget: answers per prompt on average, 1 to ``cap``.
        cap: answers to one prompt at most.

    Returns:
        In units of utility; infinite where the budget leaves nothing to give.

    Raises:
        ParetoError: see ``allocate``.
    """
    order, gains = _granted(spread, budget, cap, 1)
    return float(gains.ravel()[order].min(initial=np.inf))


def worth(spread: float, price: float, cap: int) -> int:
    """How many answers a prompt is worth: up to the last that is expected to bring its price.

    Args:
        spread: predicted for the prompt, as in ``allocate``.
        price: of an answer, in units of utility, above 0.
        cap: answers at most.
    """
    return 1 + int((np.diff(gaussian_best(cap)) * spread >= price).sum())


def _granted(spread: ArrayLike, budget: float, cap: int, least: int) -> tuple[Integers, Floats]:
    """The answers beyond the least that a budget pays, as places in the flattened gains, and the gains of all.

    Returns:
        (answers,) and (cap - least, p): of the lower count first, so that prompts of equal gain take turns.
    """
    known = np.asarray(spread, dtype=float)
    if not (np.isfinite(known).all() and (known >= 0).all()):
        raise ParetoError("allocation: a predicted spread is negative, NaN or infinite")
    if not 1 <= least <= cap:
        raise ParetoError(f"allocation: at least {least} and at most {cap} answers; wanted 1 ≤ least ≤ cap")
    if not least <= budget <= cap:
        raise ParetoError(f"allocation: {budget:g} answers per prompt; wanted {least} to {cap}")
    gains = np.diff(gaussian_best(cap))[least - 1 :, None] * known
    order = np.argsort(-gains, axis=None, kind="stable")
    # 1e-9: a mean such as 7.1 over 30 prompts must not lose an answer to its last bit.
    best = order[: int(budget * len(known) + 1e-9) - least * len(known)]
    return best[gains.ravel()[best] > 0], gains
