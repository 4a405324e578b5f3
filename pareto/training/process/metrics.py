"""How well a model finds the first wrong step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.objectives.ensemble.metrics import auc
from pareto.objectives.process.aggregate import How, aggregate_steps
from pareto.training.process.labels import Labels, first_wrong

DRAWS = 1000
"""Of the bootstrap over solutions."""
Place = int | None
"""Of the first error; ``None``: all right."""


def first_error_f1(predicted: Sequence[Place], true: Sequence[Place]) -> dict[str, float]:
    """ProcessBench's figures (Zheng et al. 2024, arXiv 2412.06559, section 3).

    Returns:
        ``wrong``: share of the solutions with an error whose first error is found exactly; ``right``: share of the
        right ones in which none is seen; ``f1``: their harmonic mean. NaN where there is no solution of a kind.
    """
    kinds: dict[str, list[bool]] = {"wrong": [], "right": []}
    for p, t in zip(predicted, true, strict=True):
        kinds["right" if t is None else "wrong"].append(p == t)
    wrong, right = (float(np.mean(kinds[k])) if kinds[k] else float("nan") for k in ("wrong", "right"))
    return {"wrong": wrong, "right": right, "f1": _harmonic(wrong, right)}


def position_only(training: Sequence[Place], true: Sequence[Place]) -> dict[str, Any]:
    """The baseline that knows only where errors mostly are: it says "the most frequent place" or "right" at random.

    Always naming that place would find no right solution and have an F1 of 0. So it names it with the chance that
    serves it best, 1 / (1 + √a), where a is the share of wrong solutions that have their first error there.

    Args:
        training: first errors of what was trained on.
        true: of what is reported on.
    """
    places = Counter(place for place in training if place is not None)
    place = min(places, key=lambda k: (-places[k], k)) if places else 0
    hit = first_error_f1([place] * len(true), true)["wrong"]
    chance = 1 / (1 + hit**0.5)
    return {"place": place, "wrong": chance * hit, "right": 1 - chance, "f1": _harmonic(chance * hit, 1 - chance)}


def process_report(
    steps: Sequence[Sequence[float]],
    labels: Sequence[Labels],
    lengths: Sequence[int],
    *,
    training: Sequence[Place],
    threshold: float,
    how: How,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare a model's probabilities with labels.

    Args:
        steps: (n,) of each solution, a probability per step.
        labels: (n,)
        lengths: (n,) of the solutions, in characters.
        training: first errors of the solutions that it learnt from.
        threshold: of calling a step wrong.
        how: its steps become one score.
        seed: of the bootstrap.

    Returns:
        ``solutions``, ``steps`` with a label, ``wrong_steps``; ``first_error`` with ``wrong``, ``right``, ``f1``, and
        ``low`` and ``high`` of its 95 % interval (percentiles, over solutions); ``always_right`` and ``position_only``,
        the baselines; ``step_accuracy``; ``step_auc`` of wrong steps; ``solution_auc`` of solutions with a wrong step
        by their score; ``length``: correlations of the score with the number of steps and with the length among right
        solutions, where there is nothing to earn by them. NaN where there is nothing to tell by. Only solutions with a
        labelled step count.
    """
    kept = [i for i, row in enumerate(labels) if any(label.right is not None for label in row)]
    true = [first_wrong(labels[i]) for i in kept]
    predicted = [_place(steps[i], labels[i], threshold) for i in kept]
    pairs = [(p, label.target) for i in kept for p, label in zip(steps[i], labels[i], strict=True)]
    table = np.array([pair for pair in pairs if pair[1] == pair[1]]).reshape(-1, 2)
    wrong = table[:, 1] < 0.5
    scores = np.array([aggregate_steps(steps[i], how) for i in kept])
    bad = np.array([t is not None for t in true], dtype=bool)
    found = first_error_f1(predicted, true)
    low, high = _interval(predicted, true, seed)
    return {
        "solutions": len(kept),
        "steps": len(table),
        "wrong_steps": int(wrong.sum()),
        "first_error": {**found, "low": low, "high": high},
        "always_right": first_error_f1([None] * len(true), true),
        "position_only": position_only(training, true),
        "step_accuracy": float(((table[:, 0] < threshold) == wrong).mean()) if len(table) else float("nan"),
        "step_auc": auc(-table[:, 0], wrong) if len(table) else float("nan"),
        "solution_auc": auc(-scores, bad) if len(kept) else float("nan"),
        "length": {
            "steps": _correlation(scores[~bad], np.array([len(steps[i]) for i in kept])[~bad]),
            "characters": _correlation(scores[~bad], np.array([lengths[i] for i in kept])[~bad]),
        },
    }


def best_threshold(steps: Sequence[Sequence[float]], labels: Sequence[Labels]) -> float:
    """The threshold of highest first-error F1; ½ where labels are all of a kind."""
    true = [first_wrong(row) for row in labels]
    if not any(t is None for t in true) or all(t is None for t in true):
        return 0.5

    def f1(threshold: float) -> float:
        said = [_place(row, told, threshold) for row, told in zip(steps, labels, strict=True)]
        return first_error_f1(said, true)["f1"]

    grid = [round(0.05 * k, 2) for k in range(1, 20)]
    best = max(map(f1, grid))
    # Of equally good ones the middle: it is the least likely to be good by accident.
    good = [t for t in grid if f1(t) >= best - 1e-12]
    return good[len(good) // 2]


def _place(steps: Sequence[float], labels: Labels, threshold: float) -> Place:
    """The first error that a model sees. A step without a label cannot be it, as far as anyone knows."""
    told = enumerate(zip(steps, labels, strict=True))
    return next((k for k, (p, label) in told if p < threshold and label.right is not None), None)


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b > 0 else a + b


def _interval(predicted: Sequence[Place], true: Sequence[Place], seed: int) -> tuple[float, float]:
    """Of the F1; NaN where there is none in too many draws."""
    right = np.array([t is None for t in true], dtype=bool)
    hit = np.array([p == t for p, t in zip(predicted, true, strict=True)], dtype=float)
    if right.all() or not right.any():
        return float("nan"), float("nan")
    rows = np.random.default_rng(seed).integers(len(true), size=(DRAWS, len(true)))
    of_right, of_hit = right[rows], hit[rows]
    with np.errstate(invalid="ignore", divide="ignore"):
        a = (of_hit * of_right).sum(1) / of_right.sum(1)
        b = (of_hit * ~of_right).sum(1) / (~of_right).sum(1)
        f1 = np.where(a + b > 0, 2 * a * b / (a + b), 0)
    low, high = np.nanquantile(f1, [0.025, 0.975])
    return float(low), float(high)


def _correlation(x: NDArray[np.generic], y: NDArray[np.generic]) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x.astype(float), y.astype(float))[0, 1])
