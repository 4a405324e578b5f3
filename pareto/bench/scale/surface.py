"""Policies whose values are known: what training at some weights gives, and the front of all weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pareto.config import Recipe
from pareto.drivers.trials import seed_for
from pareto.front.indicators import hypervolume
from pareto.simplex import Array, das_dennis

REWARDS = ("helpful", "harmless", "honest")
PULL = np.array([1.0, 4.0, 16.0])
"""How eagerly each objective follows its weight: evenly spread weights crowd in one part of the front."""
NOISE = 0.02
"""Standard error of a measured value."""
FINE = 60
"""Partitions of the lattice that stands for all weights."""


def truth(weights: Sequence[float] | Array) -> Array:
    """Values in [0, 1] on a concave front that no other weights dominate; weights (…, m), as their result."""
    pulled = PULL * np.asarray(weights, dtype=float) ** 2
    return np.asarray(np.sqrt(pulled / pulled.sum(axis=-1, keepdims=True)), dtype=float)


def measured(weights: Sequence[float], seed: int, place: int) -> Array:
    """The values with noise, (m,), the same for the same seed and place in the driver's sequence."""
    return truth(weights) + NOISE * np.random.default_rng(seed_for(seed, place)).standard_normal(len(PULL))


def share(weights: Sequence[Sequence[float]]) -> float:
    """Of the hypervolume of all weights, what these reach, by the true values."""
    return hypervolume(truth(np.array(weights)), np.zeros(len(PULL))) / _whole() if len(weights) else 0.0


@lru_cache(maxsize=1)
def _whole() -> float:
    return hypervolume(truth(das_dennis(len(PULL), FINE)), np.zeros(len(PULL)))


def recipe(driver: dict[str, Any], seed: int, name: str = "scale") -> Recipe:
    """A recipe with this ``driver`` section."""
    return Recipe.model_validate(
        {
            "name": name,
            "seed": seed,
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "people"}]},
            "objectives": [{"name": name, "reward": name} for name in REWARDS],
            "driver": driver,
        }
    )
