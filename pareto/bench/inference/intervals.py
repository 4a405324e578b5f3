"""Means over prompts with their intervals, as plain data and as figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pareto.inference.adaptive.savings import Ratio, ratio

Floats = NDArray[np.float64]


def mean(values: Floats, seed: int = 0) -> Ratio:
    """Of values (prompts,), with the 95 % percentile interval of a bootstrap over prompts."""
    return ratio(values, np.ones(len(values)), seed)


def figures(name: str, found: Ratio) -> dict[str, float]:
    """A value and the ends of its interval under a figure's name."""
    return {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
