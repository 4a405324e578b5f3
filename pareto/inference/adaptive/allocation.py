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
    known = np.asarray(spread, dtype=float)
    if not (np.isfinite(known).all() and (known >= 0).all()):
        raise ParetoError("allocation: a predicted spread is negative, NaN or infinite")
    if not 1 <= least <= cap:
        raise ParetoError(f"allocation: at least {least} and at most {cap} answers; wanted 1 ≤ least ≤ cap")
    if not least <= budget <= cap:
        raise ParetoError(f"allocation: {budget:g} answers per prompt; wanted {least} to {cap}")
    # (cap - least, p): the lower count first, so that prompts of equal gain take turns.
    gains = np.diff(gaussian_best(cap))[least - 1 :, None] * known
    order = np.argsort(-gains, axis=None, kind="stable")
    # 1e-9: a mean such as 7.1 over 30 prompts must not lose an answer to its last bit.
    best = order[: int(budget * len(known) + 1e-9) - least * len(known)]
    best = best[gains.ravel()[best] > 0]
    return np.asarray(least + np.bincount(best % max(len(known), 1), minlength=len(known)))
