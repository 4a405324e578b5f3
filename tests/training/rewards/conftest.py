"""Comparisons that a head on the tiny model can learn."""

import numpy as np
import pytest

from pareto.records import Pair


@pytest.fixture(scope="session")
def yes_pairs():
    """Of 40 prompts, three each: "yes" is better than "no"."""
    rng = np.random.default_rng(0)
    return [
        Pair(f"Say number {i}.", f"yes {'please ' * rng.integers(4)}{j}", f"no {'please ' * rng.integers(4)}{j}")
        for i in range(40)
        for j in range(3)
    ]
