"""How far best-of-n moves from the policy it selects from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr

from pareto.errors import ParetoError
from pareto.objectives.ensemble.overoptimisation import kl_best_of


def best_of_kl(n: int) -> float:
    """KL(best-of-n ‖ policy) in nats: log n − (n − 1) / n.

    Exact where no two completions share a utility, an upper bound where some do (Beirami et al. 2024, arXiv 2401.01879,
    theorem 1).

    Raises:
        ParetoError: n below 1.
    """
    _check(n)
    return float(kl_best_of([n])[0])


def best_of_kl_with_ties(n: int, probabilities: ArrayLike) -> float:
    """KL(best-of-n ‖ policy) in nats where completions share utilities; exact.

    A group of completions with the same utility is selected from if the best of n lies in it, with probability
    F^n − (F − p)^n for its p and the cumulated F; within the group the selection follows the policy, so that nothing is
    added there.

    Args:
        n: completions that one is selected from.
        probabilities: of the groups under the policy in rising order of utility, (groups,), sum 1.

    Raises:
        ParetoError: n below 1, or no probabilities.
    """
    _check(n)
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 1 or not (p >= 0).all() or not np.isclose(p.sum(), 1.0):
        raise ParetoError(f"best of {n}: probabilities of groups must be at least 0 and sum to 1, not {p.sum():g}")
    below = np.concatenate([[0.0], np.cumsum(p / p.sum())])
    selected = np.diff(below**n)
    return float(rel_entr(selected, p / p.sum()).sum())


def _check(n: int) -> None:
    if n < 1:
        raise ParetoError(f"best of {n}: n must be at least 1")
