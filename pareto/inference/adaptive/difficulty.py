"""How much the answers to a prompt differ in utility, predicted from the prompt alone.

The spread is what makes a second answer worth drawing: best-of-n gains in proportion to it. It is regressed in
logarithms on the prompt's features, and used only where it predicts prompts that it was not fitted to; otherwise every
prompt has the mean spread, and whoever allocates by it allocates evenly.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import polygamma, psi

from pareto.errors import ParetoError
from pareto.store.files import read_json, write_json

Floats = NDArray[np.float64]

SCHEMA = 1
FOLDS = 5
PENALTIES = tuple(float(x) for x in np.logspace(-1, 4, 16))
"""Of the ridge, tried for features of length 1."""
FLOOR = 0.1
"""Least spread that is told apart, as a share of the mean one: a few samples that happen to tie are no sign of none."""
SURE = 1.645
"""Standard errors by which the prediction must beat the mean: a chance of 5 % to be taken where there is nothing."""


@dataclass(frozen=True)
class Difficulty:
    """A ridge from a prompt's features to the logarithm of its spread."""

    coefficients: tuple[float, ...]
    """(d,); all zero where the features tell nothing."""
    intercept: float
    """Logarithm of utility."""
    skill: float
    """Share of the variance of the log spread that is explained on prompts left out; at most 1, negative: worse than
    the mean."""
    ceiling: float
    """The same for a perfect prediction, in [0, 1]: the rest is the error of a spread from so few samples, where
    utilities are Gaussian."""
    prompts: int
    """That it was fitted to."""
    samples: int
    """Of each of them."""

    @property
    def skilled(self) -> bool:
        """Whether prompts differ in what it predicts."""
        return any(self.coefficients)

    @classmethod
    def fit(cls, features: ArrayLike, scores: ArrayLike, seed: int = 0) -> Difficulty:
        """Learn from a pool.

        Args:
            features: of the prompts, such as sentence embeddings, (p, d).
            scores: utilities of their answers, (p, s), s ≥ 2.
            seed: of the folds.

        Raises:
            ParetoError: shapes that do not fit, too few prompts or samples, or values that are not finite.
        """
        x, utilities = _checked(features, scores)
        target, ceiling = _log_spreads(utilities)
        skill, sure = _skill(x, target, seed)
        coefficients, intercept = _ridge(x, target) if sure else (np.zeros(x.shape[1]), float(target.mean()))
        # The mean of a logarithm says too little of a mean (Duan 1983, smearing): the predictions' mean is set right.
        spreads = utilities.std(axis=1, ddof=1)
        intercept += math.log(_positive(spreads.mean()) / np.exp(x @ coefficients + intercept).mean())
        return cls(tuple(coefficients.tolist()), intercept, skill, ceiling, *utilities.shape)

    def predict(self, features: ArrayLike) -> Floats:
        """Spreads of utility of prompts with features (p, d): (p,), above 0.

        Raises:
            ParetoError: features of another width.
        """
        x = np.asarray(features, dtype=float)
        if x.ndim != 2 or x.shape[1] != len(self.coefficients):
            raise ParetoError(f"difficulty: features {x.shape}; wanted (prompts, {len(self.coefficients)})")
        return np.asarray(np.exp(x @ np.asarray(self.coefficients) + self.intercept))

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        write_json(path, {"schema": SCHEMA, **asdict(self)})

    @classmethod
    def load(cls, path: str | Path) -> Difficulty:
        """Read what ``save`` wrote.

        Raises:
            ParetoError: no such file, damaged, or of another schema.
        """
        data = read_json(path)
        if not isinstance(data, dict) or data.pop("schema", None) != SCHEMA:
            raise ParetoError(f"{path}: not a difficulty model of schema {SCHEMA}; fit it again")
        try:
            made = cls(**(data | {"coefficients": tuple(float(c) for c in data["coefficients"])}))
            finite = bool(np.isfinite([*made.coefficients, made.intercept]).all())
        except (KeyError, TypeError, ValueError):
            finite = False
        if not finite:
            raise ParetoError(f"{path}: a damaged difficulty model; fit it again")
        return made


def _checked(features: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    x, utilities = np.asarray(features, dtype=float), np.asarray(scores, dtype=float)
    if x.ndim != 2 or utilities.ndim != 2 or len(x) != len(utilities):
        raise ParetoError(f"difficulty: features {x.shape} and scores {utilities.shape}; wanted (p, d) and (p, s)")
    if len(x) < 2 * FOLDS or utilities.shape[1] < 2:
        raise ParetoError(
            f"difficulty: {len(x)} prompts with {utilities.shape[1]} answers; wanted {2 * FOLDS} with 2 or more"
        )
    if not (np.isfinite(x).all() and np.isfinite(utilities).all()):
        raise ParetoError("difficulty: a feature or a score is NaN or infinite")
    return x, utilities


def _log_spreads(scores: Floats) -> tuple[Floats, float]:
    """Log standard deviations without the bias of few samples, (p,), and the share of their variance that is real."""
    half = (scores.shape[1] - 1) / 2
    spreads = scores.std(axis=1, ddof=1)
    logs = np.log(np.maximum(spreads, FLOOR * _positive(spreads.mean())))
    # Of Gaussian samples, the log of a variance from 2h + 1 of them has mean ψ(h) − log h and variance ψ′(h).
    total = float(logs.var())
    noise = float(polygamma(1, half)) / 4
    ceiling = max(0.0, 1 - noise / total) if total > 0 else 0.0
    return logs - (float(psi(half)) - math.log(half)) / 2, ceiling


def _ridge(x: Floats, y: Floats) -> tuple[Floats, float]:
    """Coefficients and intercept; the penalty by leaving out one prompt at a time."""
    from sklearn.linear_model import RidgeCV

    fitted = RidgeCV(alphas=PENALTIES).fit(x, y)
    return np.asarray(fitted.coef_), float(fitted.intercept_)


def _skill(x: Floats, y: Floats, seed: int) -> tuple[float, bool]:
    """Share of variance that is explained out of fold, and whether that is surely more than nothing."""
    from sklearn.model_selection import KFold

    missed, alone = np.empty(len(y)), np.empty(len(y))
    for fit, out in KFold(FOLDS, shuffle=True, random_state=seed).split(x):
        coefficients, intercept = _ridge(x[fit], y[fit])
        missed[out] = (x[out] @ coefficients + intercept - y[out]) ** 2
        alone[out] = (y[fit].mean() - y[out]) ** 2
    if not alone.any():
        return 0.0, False
    better = alone - missed
    return float(better.mean() / alone.mean()), bool(better.mean() > SURE * better.std(ddof=1) / math.sqrt(len(y)))


def _positive(spread: float) -> float:
    """A spread whose logarithm exists."""
    return max(float(spread), 1e-12)
