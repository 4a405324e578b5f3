"""What a soup would measure, predicted from the soups that were measured, with an honest interval.

One Gaussian process per objective: a trend without a shape of its own (Matérn 5/2, one length scale per
coefficient) plus roughness that no trend explains (white noise: finite prompts, sampled text). With ten to sixty
measurements, maximum likelihood finds length scales and noise that are too good to be true, so the search is for
the maximum a posteriori, and the standard deviation is widened where leaving points out shows it to be too small.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.stats import norm, t
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

Floats = NDArray[np.float64]

LEAST = 3
"""Fewest measurements that a surrogate is fitted to."""
_BOUNDS = {"signal": (1e-3, 1e3), "length": (5e-2, 5e1), "noise": (1e-6, 3.0)}
"""Of the signal's and the noise's variance (targets have variance 1) and the length scales (units of λ)."""


@dataclass(frozen=True)
class Surrogate:
    """Predictions of m objectives at any coefficients of K adapters."""

    coefficients: Floats
    """What was measured, (n, K)."""
    values: Floats
    """Its objective vectors, (n, m)."""
    models: tuple[GaussianProcessRegressor, ...]
    """One per objective, (m,)."""
    widening: Floats
    """Factor on each objective's standard deviation, (m,), at least 1."""

    @classmethod
    def fit(cls, coefficients: ArrayLike, values: ArrayLike, seed: int) -> Surrogate:
        """Search the hyper-parameters, condition on the data and widen what is too narrow.

        Args:
            coefficients: (n, K), n at least ``LEAST``.
            values: (n, m), finite, in any units.
            seed: of the search's second start.
        """
        x, y = np.array(coefficients, dtype=float), np.array(values, dtype=float)
        models = tuple(_fitted(x, column, _kernel(x.shape[1]), seed) for column in y.T)
        return cls(x, y, models, np.array([_widening(model) for model in models]))

    def predict(self, coefficients: ArrayLike, *, noise: bool = True) -> tuple[Floats, Floats]:
        """Mean and standard deviation.

        Args:
            coefficients: (q, K).
            noise: whether the deviation is that of a measurement there, or only of the trend beneath it.

        Returns:
            Mean and standard deviation, each (q, m), in the units of the values.
        """
        x = np.asarray(coefficients, dtype=float)
        both = [_conditioned(model, x) for model in self.models]
        mean, std = np.stack([b[0] for b in both], axis=1), np.stack([b[1] for b in both], axis=1)
        if not noise:
            std = np.sqrt(np.maximum(std**2 - self._noise() ** 2, 0.0))
        return mean, std * self.widening

    def mean(self, coefficients: ArrayLike) -> Floats:
        """The means alone, (q, m), in half the time."""
        x = np.asarray(coefficients, dtype=float)
        return np.stack([_mean(model, model.kernel_(x, model.X_train_)) for model in self.models], axis=1)

    def to_json(self) -> dict[str, Any]:
        """Data and hyper-parameters as plain lists, exact under ``json``."""
        return {
            "coefficients": self.coefficients.tolist(),
            "values": self.values.tolist(),
            "theta": [model.kernel_.theta.tolist() for model in self.models],
            "widening": self.widening.tolist(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Surrogate:
        """The surrogate that ``to_json`` wrote, with the same predictions; nothing is searched again.

        Raises:
            KeyError, TypeError, ValueError: not what ``to_json`` wrote.
        """
        x, y = np.array(stored["coefficients"], dtype=float), np.array(stored["values"], dtype=float)
        kernel = _kernel(x.shape[1])
        models = tuple(
            _fitted(x, column, kernel.clone_with_theta(np.array(theta, dtype=float)), None)
            for column, theta in zip(y.T, stored["theta"], strict=True)
        )
        return cls(x, y, models, np.array(stored["widening"], dtype=float))

    def _noise(self) -> Floats:
        """Standard deviation of the roughness, (m,), before widening."""
        return np.array([np.sqrt(model.kernel_.k2.noise_level) * model._y_train_std for model in self.models])


class Held(NamedTuple):
    """Predictions of points that had no part in the fit."""

    mean: Floats
    """(n, m)."""
    std: Floats
    """(n, m), that of a measurement."""


def cross_validated(coefficients: ArrayLike, values: ArrayLike, seed: int, folds: int = 8) -> Held:
    """Each point as predicted by a surrogate that was fitted without it, hyper-parameters included.

    Args:
        coefficients: (n, K), n at least ``LEAST + 1``.
        values: (n, m).
        seed: of the shares' order and the fits.
        folds: how many shares the points are split into; at most n are used.
    """
    x, y = np.asarray(coefficients, dtype=float), np.asarray(values, dtype=float)
    mean, std = np.empty_like(y), np.empty_like(y)
    for share in np.array_split(np.random.default_rng(seed).permutation(len(x)), min(folds, len(x))):
        rest = np.setdiff1d(np.arange(len(x)), share)
        mean[share], std[share] = Surrogate.fit(x[rest], y[rest], seed).predict(x[share])
    return Held(mean, std)


def coverage(values: ArrayLike, mean: ArrayLike, std: ArrayLike, level: float = 0.9) -> Floats:
    """Share of the values within the central intervals of normal predictions, per objective.

    Args:
        values: (n, m).
        mean: (n, m).
        std: (n, m).
        level: nominal coverage, within (0, 1).

    Returns:
        (m,), each within [0, 1].
    """
    inside = np.abs(np.asarray(values) - np.asarray(mean)) <= half_width(level) * np.asarray(std)
    return np.asarray(inside.mean(axis=0), dtype=float)


def half_width(level: float = 0.9) -> float:
    """Half the width of a normal distribution's central interval, in standard deviations."""
    return float(norm.ppf((1 + level) / 2))


def _kernel(k: int) -> Any:
    signal = ConstantKernel(1.0, _BOUNDS["signal"])
    shape = Matern(np.full(k, np.exp(_prior(k)[0][1])), _BOUNDS["length"], nu=2.5)
    return signal * shape + WhiteKernel(0.02, _BOUNDS["noise"])


def _prior(k: int) -> tuple[Floats, Floats]:
    """Mean and deviation of the logarithms of signal, K length scales and noise, in sklearn's order, (K + 2,) each.

    Length scales that grow with √K keep the prior's complexity the same in any dimension (Hvarfner, Hellsten and
    Nardi, "Vanilla Bayesian Optimization Performs Great in High Dimensions", ICML 2024). Roughness of a tenth of a
    base deviation is about 2 % of the variance of a run's soups; pure noise is within reach.
    """
    mean = np.concatenate([[0.5], np.full(k, np.log(np.sqrt(k))), [np.log(0.05)]])
    return mean, np.concatenate([[1.0], np.full(k, 0.7), [1.5]])


def _fitted(x: Floats, y: Floats, kernel: Any, seed: int | None) -> GaussianProcessRegressor:
    """A process conditioned on (n, K) and (n,); without a seed the kernel's hyper-parameters stay as they are."""
    search = {} if seed is None else {"optimizer": _searcher(x.shape[1]), "n_restarts_optimizer": 0}
    model = GaussianProcessRegressor(
        kernel, alpha=1e-10, normalize_y=True, random_state=seed, **({"optimizer": None} | search)
    )
    with warnings.catch_warnings():
        # A noise or a length at its bound is a finding (no noise; no influence), not a failure.
        warnings.filterwarnings("ignore", "The optimal value found", ConvergenceWarning)
        return model.fit(x, y)


def _mean(model: GaussianProcessRegressor, k: Floats) -> Floats:
    """The process's mean from the kernel between the points asked and those measured, (q, n) → (q,).

    sklearn's own ``predict`` spends four fifths of its time on checking input, and a search asks hundreds of times.
    """
    return np.asarray(model._y_train_std * (k @ model.alpha_) + model._y_train_mean)


def _conditioned(model: GaussianProcessRegressor, x: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of a measurement, (q,) each (Rasmussen and Williams 2006, algorithm 2.1)."""
    k = model.kernel_(x, model.X_train_)
    v = solve_triangular(model.L_, k.T, lower=True, check_finite=False)
    variance = model.kernel_.diag(x) - np.einsum("nq,nq->q", v, v)
    return _mean(model, k), model._y_train_std * np.sqrt(np.maximum(variance, 0.0))


def _searcher(k: int) -> Callable[..., tuple[Floats, float]]:
    """The maximum a posteriori by L-BFGS-B, as sklearn's ``optimizer``."""
    centre, spread = _prior(k)

    def search(objective: Callable[..., Any], initial: Floats, bounds: Floats) -> tuple[Floats, float]:
        def loss(theta: Floats) -> tuple[float, Floats]:
            value, gradient = objective(theta, eval_gradient=True)
            away = (theta - centre) / spread
            return value + 0.5 * float(away @ away), gradient + away / spread

        # From little roughness and from much: the likelihood often has a hill at either.
        starts = [initial, np.append(initial[:-1], np.log(0.5))]
        found = [minimize(loss, s, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 50}) for s in starts]
        best = min(found, key=lambda f: float(f.fun))
        return best.x, float(best.fun)

    return search


def _widening(model: GaussianProcessRegressor) -> float:
    """How much wider the deviation must be for the points left out in turn to fit it, at least 1.

    Closed form (Rasmussen and Williams 2006, 5.4.2): residual α_i / K⁻¹_ii with variance 1 / K⁻¹_ii. On top, what
    Student's t adds to a normal interval: the roughness was estimated from these n points, beside K + 2 others.
    """
    n, k = model.X_train_.shape
    student = float(t.ppf(0.95, max(n - k - 2, 2)) / norm.ppf(0.95))
    inverse = np.diag(cho_solve((model.L_, True), np.eye(len(model.L_))))
    standardised = model.alpha_ / np.sqrt(inverse)
    return student * float(max(1.0, np.sqrt(np.mean(standardised**2))))
