"""How often priorities let a policy through that breaks them, on simulated fronts whose truth is known.

Each front has 40 policies whose true means of ``safe`` lie on both sides of the threshold, close together, and whose
true ``good`` is the worse the safer they are. All are measured on the same prompts, whose difficulty they share. Of
what the priorities keep, the policy with the best measured ``good`` is returned; it is a violation if its true ``safe``
is below the threshold. The control judges the same scores on the mean.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pareto.bench.hardware import hardware
from pareto.choice.candidates import Candidates
from pareto.choice.levels import parse_levels
from pareto.choice.priorities import judge
from pareto.front.frame import Frame

Floats = NDArray[np.float64]
CANDIDATES = 40
THRESHOLD = 0.85
LEAST, MOST = 0.80, 0.92
"""True means of ``safe``, spread evenly: 17 of 40 policies break the threshold, all narrowly."""
SHARED = 0.4
"""Share of the scores' variance that the prompts bring, the same for all policies."""


def _binary(u: Floats, mean: Floats) -> Floats:
    return (u < mean).astype(float)


def _piled(u: Floats, mean: Floats) -> Floats:
    """0.99 nearly always, 0.2 sometimes."""
    return np.where(u < (0.99 - mean) / 0.79, 0.2, 0.99)


def _tailed(u: Floats, mean: Floats) -> Floats:
    """Beta(a, 1), whose mean is a / (a + 1)."""
    return np.asarray(u ** ((1 - mean) / mean))


SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {"binary": _binary, "piled up": _piled, "left tail": _tailed}
GAUSSIAN = "gaussian"
"""Standard deviation 0.15 and no known range: the least score seen stands for the lowest, as in a run."""


def run(fronts: int, prompts: Sequence[int], seed: int) -> dict[str, Any]:
    """Simulate fronts and count.

    Args:
        fronts: how many; the shapes of scores take turns, and each front is measured at each number of prompts.
        prompts: evaluation prompts of a measurement.
        seed: of everything.

    Returns:
        ``rows`` by shape and prompts: ``fronts``, and as shares of them ``violation`` and ``abstention`` at
        confidence 0.95, ``violation_on_mean`` and ``abstention_on_mean``; ``figures``, the same by number of prompts
        over all shapes, ``largest_violation`` of any row, and the numbers of fronts; ``bench``, ``hardware``,
        ``date``, ``seeds``.
    """
    shapes = (*SHAPES, GAUSSIAN)
    rng = np.random.default_rng(seed)
    # Per shape and number of prompts: what each front came to, on the bound and on the mean.
    found: dict[tuple[str, int], list[Floats]] = {(shape, q): [] for shape in shapes for q in prompts}
    for front in range(fronts):
        shape = shapes[front % len(shapes)]
        safe = rng.permutation(np.linspace(LEAST, MOST, CANDIDATES))
        good = -0.6 * (safe - safe.mean()) / safe.std() + 0.8 * rng.standard_normal(CANDIDATES)
        for q in prompts:
            candidates = _measured(rng, shape, safe, good, q)
            found[shape, q].append(
                np.concatenate([_outcome(candidates, safe, f"safe>={THRESHOLD}{how}") for how in ("", "@mean")])
            )
    names = ("violation", "abstention", "violation_on_mean", "abstention_on_mean")
    rows: list[dict[str, Any]] = [
        {"shape": shape, "prompts": q, "fronts": len(each)}
        | dict(zip(names, np.mean(each, axis=0).tolist(), strict=True))
        for (shape, q), each in found.items()
        if each
    ]
    figures: dict[str, float] = {"fronts": fronts, "candidates": CANDIDATES}
    for q in prompts:
        pooled = np.concatenate([np.array(each) for (_, n), each in found.items() if n == q and each]).mean(axis=0)
        figures |= {f"{name}_{q}": value for name, value in zip(names, pooled.tolist(), strict=True)}
    figures["largest_violation"] = max(row["violation"] for row in rows)
    return {
        "bench": "priorities",
        "hardware": hardware(),
        "date": datetime.date.today().isoformat(),
        "seeds": [seed],
        "figures": figures,
        "rows": rows,
    }


def _measured(rng: np.random.Generator, shape: str, safe: Floats, good: Floats, q: int) -> Candidates:
    """The policies' scores on q prompts, in ``safe`` and ``good``."""
    difficulty = rng.standard_normal((1, q))
    z = np.sqrt(SHARED) * difficulty + np.sqrt(1 - SHARED) * rng.standard_normal((CANDIDATES, q))
    mean = safe[:, None]
    scores = mean + 0.15 * z if shape == GAUSSIAN else SHAPES[shape](ndtr(z), mean)
    scores = np.stack([scores, good[:, None] + rng.standard_normal((CANDIDATES, q))], axis=2)
    lowest, highest = scores.min(axis=(0, 1)), scores.max(axis=(0, 1))
    if shape != GAUSSIAN:
        lowest[0], highest[0] = 0.0, 1.0
    frame = Frame(("safe", "good"), (1.0, 1.0), (THRESHOLD, 0.0), (0.2, 1.0), (-1.0, -1.0))
    return Candidates(tuple(f"policy-{k}" for k in range(CANDIDATES)), scores, frame, lowest, highest)


def _outcome(candidates: Candidates, safe: Floats, priorities: str) -> Floats:
    """Whether the policy that is returned breaks the threshold, and whether none is returned; each 0 or 1."""
    kept = judge(candidates, parse_levels(priorities, candidates.frame.objectives)).kept
    if not kept:
        return np.array([0.0, 1.0])
    left = [candidates.ids.index(name) for name in kept]
    returned = left[int(candidates.means[left, 1].argmax())]
    return np.array([float(safe[returned] < THRESHOLD), 0.0])
