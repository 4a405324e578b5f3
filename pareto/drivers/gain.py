"""What one more trained adapter would add to the front, and how sure that is.

Training at weights w from a soup moves objective k by Δ_k = ρ·w_k·g_k + ε_k: g_k is what expert k won over the base
at its own objective, ρ the share of it that a short training brings. ρ has the prior N(ρ0, ρ0²) and learns from every
adapter trained so far; ε is what the model does not explain, never less than the noise of the two measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pareto.config import Training
from pareto.front.dominance import nondominated
from pareto.front.indicators import hypervolume
from pareto.preferences import scalarise

Array = NDArray[np.float64]

DRAWS = 128
"""Possible outcomes per candidate, each with its mirror image, so that luck has mean zero."""
LEAST_NOISE = 1e-3
"""Standard error that a measurement has at least, in base standard deviations; one told without has this."""


@dataclass(frozen=True)
class Effect:
    """How much training moves a policy, as far as is known."""

    mean: float
    """Of ρ."""
    std: float
    """Of ρ."""
    unexplained: float
    """Variance, of each objective, of what neither the model nor the measurements' noise explains."""


def effect(pushes: Array, moves: Array, noise: Array, prior: float) -> Effect:
    """The posterior of ρ by conjugate regression, given the variance that the residuals of least squares show.

    One variance for all objectives: from one or two adapters, a covariance would be fitted to its own residuals.

    Args:
        pushes: w_k·g_k of the adapters trained so far, (t, m), t ≥ 0.
        moves: their z − z(start), (t, m).
        noise: variance of the moves by measurement, (t, m), > 0; the residuals' variance is at least this.
        prior: ρ0 > 0, mean and standard deviation of ρ before any adapter.
    """
    x, y = pushes.ravel(), moves.ravel()
    if not x.any():
        return Effect(prior, prior, 0.0)
    left = y - x * (x @ y) / (x @ x)
    unexplained = max(0.0, float(left @ left - noise.sum()) / (x.size - 1))
    weighted = x / (noise.ravel() + unexplained)
    precision = 1 / prior**2 + float(weighted @ x)
    return Effect((1 / prior + float(weighted @ y)) / precision, precision**-0.5, unexplained)


def expected_gains(
    values: Array, reference: Array, starts: Array, pushes: Array, noise: Array, known: Effect, seed: int
) -> tuple[Array, Array]:
    """Expected gain in hypervolume of each candidate, and its uncertainty.

    A point next to the front seems to gain by the luck of its measurement alone. So the gain is what the outcomes add
    to the measured front on average, less what the same luck would add without any training. The uncertainty is the
    standard deviation of what the outcomes add, by ρ, by ε and by the noise of both measurements.

    Args:
        values: measured, normalised, to maximise, (n, m).
        reference: of the hypervolume, (m,).
        starts: measured values of the candidates' starts, (c, m).
        pushes: w_k·g_k of the candidates, (c, m).
        noise: variance by measurement of start and outcome together, (c, m), > 0.
        known: the effect of training.
        seed: of the draws, which all candidates share.

    Returns:
        Gain (c,), negative where training is expected to harm, and uncertainty (c,).
    """
    front = values[nondominated(values)]
    before = hypervolume(front, reference)
    draws = np.random.default_rng(seed).standard_normal((DRAWS, 1 + values.shape[1]))
    draws = np.vstack([draws, -draws])

    def added(points: Array) -> Array:
        return np.array([hypervolume(np.vstack([front, point]), reference) for point in points]) - before

    gains, uncertainties = [], []
    for start, push, variance in zip(starts, pushes, noise, strict=True):
        luck = draws[:, 1:] * np.sqrt(variance + known.unexplained)
        outcome = added(start + (known.mean + known.std * draws[:, :1]) * push + luck)
        gains.append(float(outcome.mean() - added(start + luck).mean()))
        uncertainties.append(float(outcome.std()))
    return np.array(gains), np.array(uncertainties)


def best_start(values: Array, weights: Array, training: Training) -> int:
    """The measured policy that serves a preference best: the row of ``values`` to start training from.

    By the augmented Chebyshev scalarisation over the measured ranges, whatever the training's own: it finds a policy
    for every preference, where a weighted sum passes over a hollow of the front and takes its rims again and again.

    Args:
        values: measured, normalised, (n, m), n ≥ 1.
        weights: (m,).
        training: its ``rho``.
    """
    span = np.ptp(values, axis=0)
    scaled = values / np.where(span > 0, span, 1.0)
    utility = scalarise(scaled, weights.tolist(), training.model_copy(update={"scalarisation": "chebyshev"}))
    return int(utility.round(12).argmax())
