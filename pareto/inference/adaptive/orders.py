"""Orders in which a pool's answers might have been drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def orders(shape: tuple[int, ...], first: int, shuffles: int, seed: int) -> NDArray[np.int64]:
    """The first answers of shuffled pools.

    Args:
        shape: of the pool, (prompts, samples).
        first: how many of each order are wanted, at most all.
        shuffles: orders per prompt.
        seed: of the shuffles.

    Returns:
        Indices into each prompt's answers, (shuffles, prompts, first), without repetition within an order.
    """
    rng = np.random.default_rng(seed)
    return np.argsort(rng.random((shuffles, *shape)), axis=2)[..., :first]
