"""Whether an ensemble's disagreement tells of its errors, beyond what its margin tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.objectives.ensemble.metrics import auc, wrong
from pareto.objectives.ensemble.scores import PairScores

Floats = NDArray[np.float64]
Coefficients = tuple[float, float, float]
"""Log odds of an error: this much, and this much per nat of ``|margin|``, and of the margin's spread."""

FOLDS = 5
"""Of the cross-validation by prompt."""
_LEAST_ERRORS = 2 * FOLDS
"""Fewer wrong pairs, or fewer right ones, teach nothing about errors."""


def fit_error_model(
    pairs: PairScores, targets: Floats, weights: Floats, groups: Sequence[str]
) -> tuple[Coefficients | None, tuple[float, float]]:
    """Model the chance of being wrong as a logistic regression on the margin's size and its spread.

    Args:
        pairs: n pairs, calibrated.
        targets: (n,); ties do not count.
        weights: (n,).
        groups: each pair's prompt.

    Returns:
        The coefficients, or ``None`` where they are not better than the margin alone; and the areas under the curve for
        errors of margin alone and of both, the means over folds of prompts, NaN where errors are too few.
    """
    from sklearn.linear_model import LogisticRegression

    known = targets != 0.5
    margin, spread, weight = np.abs(pairs.margin)[known], pairs.spread[known], weights[known]
    errors = wrong(pairs.margin[known], targets[known])
    prompts = np.unique(np.asarray(groups)[known], return_inverse=True)[1]
    if min(errors.sum(), (~errors).sum()) < _LEAST_ERRORS or prompts.max() + 1 < FOLDS:
        return None, (float("nan"), float("nan"))

    def fit(x: Floats, rows: Any) -> Any:
        return LogisticRegression(C=100.0).fit(x[rows], errors[rows], sample_weight=weight[rows])

    both = np.stack([margin, spread], axis=1)
    aucs, better = _compared(both, errors, prompts, fit)
    if not better:
        return None, aucs
    fitted = fit(both, slice(None))
    return (float(fitted.intercept_[0]), *fitted.coef_[0].tolist()), aucs


def _compared(
    both: Floats, errors: NDArray[np.bool_], prompts: NDArray[np.intp], fit: Callable[[Floats, Any], Any]
) -> tuple[tuple[float, float], bool]:
    """Mean areas under the curve of margin alone and of both, and whether both are better beyond chance.

    They are when the gain is more than twice its standard error over the folds: a spread that seems to help by chance
    costs more on new pairs than it ever gave (measured on pairs of the demo's pool: 0.00 to −0.02).
    """
    from sklearn.model_selection import GroupKFold

    pairs = [
        (auc(-both[test, 0], errors[test]), auc(fit(both, train).decision_function(both[test]), errors[test]))
        for train, test in GroupKFold(FOLDS).split(both, groups=prompts)
        if 0 < errors[test].mean() < 1 and 0 < errors[train].mean() < 1
    ]
    if len(pairs) < 2:
        return (float("nan"), float("nan")), False
    margin, with_spread = np.array(pairs).T
    gain = with_spread - margin
    sure = both[:, 1].any() and gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain))
    return (float(margin.mean()), float(with_spread.mean())), bool(sure)
