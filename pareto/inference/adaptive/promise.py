"""What another answer promises, learned from pools: drawing ends where that is less than its price.

``stopping`` assumes Gaussian utilities. Real ones have a ceiling, or few values, and who has drawn the best that there
is gains nothing by another. So the mean improvement of one more answer is regressed on what is known when the decision
is made, as optimal stopping is solved by regression where the distribution is not known (Longstaff & Schwartz 2001,
"Valuing American Options by Simulation"), here one answer ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.inference.adaptive.orders import orders

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

Floats = NDArray[np.float64]

ORDERS = 30
"""Of each prompt's pool that are learned from."""
SIGNS = (-1, -1, 0, 1, -1, 1)
"""How the promise depends on each feature, where that is known: see ``_features``."""
SETTINGS: dict[str, Any] = {"max_iter": 60, "max_leaf_nodes": 8, "min_samples_leaf": 400, "early_stopping": False}


@dataclass(frozen=True, eq=False)
class Promise:
    """Gradient-boosted trees from the answers so far to the expected improvement of one more."""

    model: HistGradientBoostingRegressor

    @classmethod
    def fit(cls, utility: Floats, cap: int, spread: ArrayLike | None = None, seed: int = 0) -> Promise:
        """Learn from a pool.

        Args:
            utility: (p, n), n ≥ 2.
            cap: answers to a prompt at most.
            spread: predicted for the prompts, (p,); ``None``: nothing is.
            seed: of the orders.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor

        n = utility.shape[1]
        most = min(cap, n - 1)
        picked = orders(utility.shape, most, ORDERS, seed)
        drawn = np.take_along_axis(utility[None], picked, axis=2)
        best = np.maximum.accumulate(drawn, axis=2)
        # An answer that is drawn already is not above the best: only those that are left add to the sum.
        left = np.stack([np.maximum(utility - best[..., k, None], 0).sum(axis=-1) for k in range(most)], axis=-1)
        gained = left / (n - np.arange(1, most + 1))
        known = None if spread is None else np.broadcast_to(np.asarray(spread, dtype=float), drawn.shape[:2])
        x = _features(drawn, known)
        model = HistGradientBoostingRegressor(monotonic_cst=SIGNS[: x.shape[-1]], random_state=seed, **SETTINGS)
        return cls(model.fit(x.reshape(-1, x.shape[-1]), gained.ravel()))

    def expected(self, utilities: ArrayLike, spread: ArrayLike | None = None) -> Floats:
        """Expected improvement of one more answer over the best so far, after each answer; as ``improvement``.

        Args:
            utilities: in the order in which they were drawn, (..., n), finite.
            spread: predicted for the prompts, (...); ``None`` where none was in learning either.
        """
        drawn = np.asarray(utilities, dtype=float)
        x = _features(drawn, None if spread is None else np.asarray(spread, dtype=float))
        return np.asarray(np.maximum(self.model.predict(x.reshape(-1, x.shape[-1])), 0.0).reshape(drawn.shape))


def _features(drawn: Floats, spread: Floats | None) -> Floats:
    """(..., n, 5 or 6): how many are drawn, their best, mean, standard deviation, best less mean; predicted spread."""
    n = np.broadcast_to(np.arange(1, drawn.shape[-1] + 1), drawn.shape)
    best = np.maximum.accumulate(drawn, axis=-1)
    mean = np.cumsum(drawn, axis=-1) / n
    squares = np.maximum(np.cumsum(drawn**2, axis=-1) - n * mean**2, 0.0)
    deviation = np.sqrt(squares / np.maximum(n - 1, 1))
    told = [] if spread is None else [np.broadcast_to(spread[..., None], drawn.shape)]
    return np.stack([n, best, mean, deviation, best - mean, *told], axis=-1)
