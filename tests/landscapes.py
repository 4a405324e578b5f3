"""Made-up soups: objectives as functions of the coefficients, shaped like those measured on the real model."""

from __future__ import annotations

import zlib

import numpy as np


class Landscape:
    """K = m experts; each helps its own objective, less and less, and costs the others; too much of all ruins it.

    With ``rough`` a fixed value per coefficients, as common random numbers over few prompts give: the same λ measured
    twice is the same, a neighbour is not.
    """

    def __init__(self, m: int = 3, seed: int = 0, rough: float = 0.1, flat: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.m, self.rough, self.flat, self.seed = m, rough, flat, seed
        self.reach = rng.uniform(1.0, 2.8, m)
        self.turn = rng.uniform(0.9, 2.2, m)
        self.cost = rng.uniform(0.15, 0.6, (m, m)) * (1 - np.eye(m))
        self.limit = rng.uniform(1.7, 2.4)

    def truth(self, coefficients) -> np.ndarray:
        """(q, m) without roughness."""
        x = np.atleast_2d(np.asarray(coefficients, float))
        if self.flat:
            return np.zeros((len(x), self.m))
        own = self.reach * (1 - np.exp(-self.turn * x)) / (1 - np.exp(-self.turn))
        size = np.linalg.norm(x, axis=1)
        ruin = 1.5 * np.log1p(np.exp((size - self.limit) / 0.15)) * 0.15
        return own - x @ self.cost.T - ruin[:, None] * np.linspace(0.6, 1.2, self.m)

    def measure(self, coefficients) -> np.ndarray:
        """(q, m) as measured on validation."""
        x = np.atleast_2d(np.asarray(coefficients, float))
        seeds = [zlib.crc32(np.round(row, 9).tobytes()) + self.seed for row in x]
        bumps = np.array([np.random.default_rng(s).standard_normal(self.m) for s in seeds]).reshape(len(x), self.m)
        return self.truth(x) + self.rough * bumps
