"""What a way to spend answers saves of a fixed number, with intervals over prompts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pareto.errors import ParetoError
from pareto.front.statistics import resample_means
from pareto.inference.adaptive.pool import Floats, Integers, Pool
from pareto.inference.adaptive.spending import Spending, even

RESAMPLES = 2000
Ratio = dict[str, float]
"""``value``, and the ends ``low`` and ``high`` of its 95 % interval."""


@dataclass(frozen=True)
class Savings:
    """Against a fixed number of answers on the same prompts."""

    tokens_saved: Ratio
    """Share of the fixed number's tokens."""
    gain_share: Ratio
    """Of the fixed number's gain over one answer."""
    over_even: Ratio
    """Gain above that of the same tokens spent evenly on all prompts, as a share of the fixed number's gain."""

    @classmethod
    def of(cls, pool: Pool, spent: Spending, fixed: Spending, seed: int) -> Savings:
        """Compare two ways to spend answers on a pool."""
        return cls(
            ratio(fixed.tokens - spent.tokens, fixed.tokens, seed),
            ratio(spent.gain, fixed.gain, seed),
            ratio(spent.gain - even(pool, spent).gain, fixed.gain, seed),
        )

    @property
    def real(self) -> bool:
        """It draws less, and not merely as whoever gives up some of the gain would."""
        return self.tokens_saved["low"] > 0 and self.over_even["low"] > 0

    def verdict(self, share: float) -> str:
        """In words, for a share of the gain that was to be kept."""
        if self.over_even["low"] <= 0:
            text = "saves nothing: the same tokens spent evenly on all prompts do as well"
        else:
            text = saves(self.tokens_saved)
        kept = self.gain_share["value"]
        return text if kept >= share else f"{text}; keeps only {kept:.1%} of the gain"

    def told(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def saves(tokens: Ratio) -> str:
    """In words."""
    if tokens["low"] <= 0:
        return "saves nothing: the interval of what it saves reaches zero"
    return f"saves {tokens['value']:.0%} of the tokens"


def ratio(above: Floats, below: Floats, seed: int) -> Ratio:
    """Sum over prompts of one by that of the other, with the percentile interval of a bootstrap over prompts.

    Both are (p,). Zero where all that is divided by is zero.
    """
    draws = resample_means(np.stack([above, below])[:, :, None], RESAMPLES, seed)[..., 0]
    ratios = np.divide(draws[:, 0], draws[:, 1], out=np.zeros(len(draws)), where=draws[:, 1] != 0)
    low, high = np.quantile(ratios, [0.025, 0.975]).tolist()
    total = float(below.sum())
    return {"value": float(above.sum()) / total if total else 0.0, "low": low, "high": high}


def folds(prompts: int, seed: int, most: int = 2) -> list[Integers]:
    """Indices of random parts of nearly the same size: ``most``, or fewer so that each has two prompts.

    Raises:
        ParetoError: fewer than four prompts.
    """
    if prompts < 4:
        raise ParetoError(f"{prompts} prompts cannot be fitted to and measured on in turn; at least 4 are needed")
    order = np.random.default_rng(seed).permutation(prompts)
    return [np.sort(part) for part in np.array_split(order, min(most, prompts // 2))]
