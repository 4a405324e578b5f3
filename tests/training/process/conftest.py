"""Solutions whose wrong steps a head on the tiny model can tell: they say "no"."""

from __future__ import annotations

import random

import pytest

from pareto.training.process.labels import StepLabel
from pareto.training.process.solutions import Solution


@pytest.fixture(scope="session")
def solutions() -> list[Solution]:
    rng = random.Random(0)
    out = []
    for i in range(80):
        k = rng.randint(2, 4)
        wrong = rng.randrange(k) if i % 2 else None
        lines = [f"no {j} zzz" if j == wrong else f"yes {j} aaa" for j in range(k)]
        labels = tuple(StepLabel(j != wrong, "given") for j in range(k))
        out.append(Solution(f"Problem {i}?", "\n".join(lines), labels, f"row {i}"))
    return out
