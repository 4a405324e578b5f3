"""How far the scores of reward models can be trusted, measured against labels.

The labels are what they are: where they are noisy, so is the truth that everything here is measured against. A pair's
target is the probability that its first completion is better; pairs whose target is ½ say nothing of right and wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pareto.front.statistics import Interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BINS = 14
"""Of equal mass over both orders of the pairs: half of them above ½, the other half their mirror images."""
_NORMAL = 1.959964
"""Quantile of 95 % intervals."""


def log_loss(margins: Floats, targets: Floats) -> Floats:
    """Negative Bradley–Terry log likelihood of each pair, (n,), nats: ``−t·log σ(m) − (1 − t)·log σ(−m)``."""
    return np.asarray(np.logaddexp(0, margins) - targets * margins)


def brier(probabilities: Floats, targets: Floats) -> float:
    """Mean squared distance of probability and target, in [0, 1]."""
    return float(np.mean((probabilities - targets) ** 2))


def calibration_error(probabilities: Floats, targets: Floats, bins: int = BINS) -> float:
    """Expected calibration error of pairs' probabilities, in [0, 1].

    Naeini et al. (2015) with bins of equal mass; each pair counts in both orders, so that it does not matter which of
    its completions is called the first. Biased upward in small samples, see ``calibration_error_by_chance``.

    Args:
        probabilities: that the first is better, (n,).
        targets: (n,).
        bins: at most; an even number.
    """
    return float(_calibration_errors(probabilities, targets[None], bins)[0])


def calibration_error_by_chance(probabilities: Floats, bins: int = BINS, draws: int = 200, seed: int = 0) -> float:
    """The calibration error to expect of so many pairs if every probability were exact: the mean over simulations."""
    rng = np.random.default_rng(seed)
    outcomes = (rng.random((draws, len(probabilities))) < probabilities).astype(float)
    return float(_calibration_errors(probabilities, outcomes, bins).mean())


def _calibration_errors(probabilities: Floats, targets: Floats, bins: int) -> Floats:
    """Of many sets of targets, (d, n), for the same probabilities, (n,): (d,)."""
    n = len(probabilities)
    # A pair in its other order lies in the mirrored bin with the opposite gap: the upper bins tell all.
    gaps = np.sign(probabilities - 0.5) * (probabilities - targets)
    order = np.argsort(np.abs(probabilities - 0.5), kind="stable")
    starts = np.linspace(0, n, min(bins // 2, n), endpoint=False).astype(int)
    return np.asarray(np.abs(np.add.reduceat(gaps[:, order], starts, axis=1)).sum(axis=1) / n)


def accuracy(margins: Floats, targets: Floats, groups: Sequence[str]) -> Interval:
    """Share of the pairs without a tie whose better completion got the higher score, with its 95 % interval.

    Wilson's (1927) interval for as many independent pairs as are worth these ones, whose errors within a prompt may go
    together (Kish's effective sample size with the variance between prompts). Equal scores count half.

    Args:
        margins: score of first minus second, (n,).
        targets: (n,).
        groups: each pair's prompt.

    Returns:
        NaN where all are ties.
    """
    settled = targets != 0.5
    if not settled.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    right = _right(margins[settled], targets[settled])
    prompts = np.unique(np.asarray(groups)[settled], return_inverse=True)[1]
    n, share, k = len(right), float(right.mean()), int(prompts.max()) + 1
    between = np.bincount(prompts, right - share)
    variance = float((between**2).sum()) / n**2 * k / max(k - 1, 1)
    worth = min(n, share * (1 - share) / variance) if variance > 0 else k
    square = _NORMAL**2 / worth
    middle = (share + square / 2) / (1 + square)
    half = float(np.sqrt(square * (share * (1 - share) + square / 4))) / (1 + square)
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def wrong(margins: Floats, targets: Floats) -> Bools:
    """Whether the worse completion of each pair got no lower score, (n,); of pairs without ties."""
    return np.asarray(_right(margins, targets) < 1)


def auc(score: Floats, event: Bools) -> float:
    """Area under the ROC curve of a score for an event, both (n,): 1 perfect, ½ chance; NaN where all or none is one.

    Ties count half.
    """
    from sklearn.metrics import roc_auc_score

    if event.all() or not event.any():
        return float("nan")
    return float(roc_auc_score(event, score))


def kept_accuracy(uncertainty: Floats, errors: Bools, kept: Sequence[float]) -> list[float]:
    """Accuracy among the least uncertain pairs, for each share kept in (0, 1]: the risk-coverage curve of El-Yaniv and
    Wiener (2010)."""
    order = np.argsort(uncertainty, kind="stable")
    right = np.cumsum(~errors[order])
    counts = [max(1, round(share * len(errors))) for share in kept]
    return [float(right[count - 1] / count) for count in counts]


def flagging(uncertainty: Floats, errors: Bools, threshold: float) -> dict[str, float]:
    """What a threshold catches: the share of pairs above it, the error rate above and below, and their ratio.

    NaN where nothing is above or below; the ratio also where no error is below.
    """
    above = uncertainty > threshold
    rates = [float(errors[rows].mean()) if rows.any() else float("nan") for rows in (above, ~above)]
    ratio = rates[0] / rates[1] if rates[1] else float("nan")
    return {"share": float(above.mean()), "errors_flagged": rates[0], "errors_rest": rates[1], "ratio": ratio}


def _right(margins: Floats, targets: Floats) -> Floats:
    """1 where margin and target agree, ½ for equal scores, 0 where they differ; of pairs without ties."""
    return np.asarray((1 + np.sign(margins) * np.sign(targets - 0.5)) / 2)
