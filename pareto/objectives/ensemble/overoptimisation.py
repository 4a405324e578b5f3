"""Best-of-n under a proxy: what the proxy promises and what gold says, against the KL that the selection costs.

Gao, Schulman and Hilton 2022 (arXiv 2210.10760). With N samples of a prompt the mean over all subsets of n is exact
and needs no drawing: of the samples in falling order of the proxy, the i-th (from 0) is the best of n with probability
C(N − 1 − i, n − 1) / C(N, n).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """One way to select, at several n."""

    n: tuple[int, ...]
    proxy: Floats
    """(prompts, len(n)) expected proxy of what is selected."""
    gold: Floats
    """(prompts, len(n)) expected gold of it."""

    @property
    def kl(self) -> Floats:
        """(len(n),) upper bound of KL(best-of-n ‖ policy), log n − (n − 1) / n nats; exact without ties."""
        return kl_best_of(self.n)

    def loss(self) -> float:
        """What is lost to over-optimisation: the best gold on the way less gold where the proxy is highest."""
        mean = self.gold.mean(axis=0)
        return float(mean.max() - mean[self.proxy.mean(axis=0).argmax()])


def kl_best_of(n: Sequence[int]) -> Floats:
    """Of best-of-n to the policy it selects from, nats: log n − (n − 1) / n (Beirami et al. 2024, an upper bound)."""
    counts = np.asarray(n, dtype=float)
    return np.asarray(np.log(counts) - (counts - 1) / counts)


def best_of_n(proxy: Floats, gold: Floats, n: Sequence[int]) -> Curve:
    """Select by a proxy.

    Args:
        proxy: (prompts, N) what selects; ties are broken by the order of the samples.
        gold: (prompts, N) what counts.
        n: how many samples one selects from, 1 to N each.
    """
    order = np.argsort(-proxy, axis=1, kind="stable")
    weights = np.stack([_shares(proxy.shape[1], k) for k in n], axis=1)
    ranked = (np.take_along_axis(values, order, axis=1) for values in (proxy, gold))
    return Curve(tuple(n), *(values @ weights for values in ranked))


def _shares(total: int, n: int) -> Floats:
    """(total,) chance of each rank to be the best of n."""
    left = total - 1 - np.arange(total)
    possible = left >= n - 1
    safe = np.where(possible, left, n - 1)

    def log_choose(a: Floats | float, b: float) -> Floats:
        return np.asarray(gammaln(np.asarray(a) + 1.0) - gammaln(b + 1.0) - gammaln(np.asarray(a) - b + 1.0))

    shares = np.exp(log_choose(safe.astype(float), n - 1) - log_choose(float(total), n))
    return np.asarray(np.where(possible, shares, 0.0))
