"""Curves from margins to probabilities of labels, fitted by likelihood.

Labels that are wrong now and then, however clear the case, bend the curve in a way that no temperature follows:
simulated with a tenth of the labels flipped and 600 pairs, the best temperature left a calibration error of 0.075, the
best one with lapses 0.021; without wrong labels both left the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

from pareto.errors import ParetoError
from pareto.objectives.ensemble.metrics import log_loss

Floats = NDArray[np.float64]

_STEEPNESS = (0.01, 30.0)
"""Least and greatest root mean square of calibrated margins, in nats; a member at the least knows nothing or the
contrary."""
_LAPSE = (1e-6, 0.45)
"""Least rate of lapses that is tried, so that no probability is 0, and greatest."""


def temperature(margins: Floats, targets: Floats, weights: Floats, who: str) -> float:
    """What to divide margins by, for σ of them to be the likeliest probabilities of the targets.

    Args:
        margins: (n,), in any unit.
        targets: (n,), in [0, 1].
        weights: (n,), more than 0.
        who: whose margins they are, for the message.

    Raises:
        ParetoError: all margins are 0.
    """
    size = float(np.sqrt(np.mean(margins**2)))
    if size == 0:
        raise ParetoError(f"{who} scores both completions of every held-out comparison the same: its head is untrained")
    aims = _aims(targets, weights)

    def loss(steepness: float) -> float:
        return float(weights @ log_loss(margins / size * np.exp(steepness), aims))

    found = minimize_scalar(loss, bounds=np.log(_STEEPNESS).tolist(), method="bounded", options={"xatol": 1e-6})
    return size / float(np.exp(found.x))


def lapses(margins: Floats, targets: Floats, weights: Floats, groups: Sequence[str]) -> tuple[float, float]:
    """Rate of lapses and slope of the likeliest curve from margins to probabilities, see ``lapsing``.

    Args:
        margins: (n,), nats, as a temperature without lapses leaves them.
        targets: (n,), in [0, 1].
        weights: (n,), more than 0.
        groups: each pair's prompt.

    Returns:
        The rate, and the slope; (0, 1), which leaves the margins as they are, unless lapses make the labels likelier by
        more than the gain's standard error over prompts (as Vuong 1989 tells models apart). Pairs of a prompt err
        together, and on few prompts that looks like lapses.
    """
    aims, total = _aims(targets, weights), weights.sum()

    def loss(x: Floats) -> Floats:
        return np.asarray(log_loss(logit(lapsing(margins, x[0], np.exp(x[1]))), aims) * weights / total)

    bounds = [_LAPSE, (-2.0, 4.0)]
    fits = [minimize(lambda x: loss(x).sum(), start, bounds=bounds) for start in ([0.02, 0.0], [0.2, 1.0])]
    best = min(fits, key=lambda fit: float(fit.fun)).x
    prompts = np.unique(groups, return_inverse=True)[1]
    gain = np.bincount(prompts, log_loss(margins, aims) * weights / total - loss(best))
    if len(gain) < 2 or gain.sum() <= np.sqrt(len(gain)) * gain.std(ddof=1):
        return 0.0, 1.0
    return float(best[0]), float(np.exp(best[1]))


def lapsing(margins: Floats, lapse: float, slope: float) -> Floats:
    """Probability that a label prefers the first: as the margin says, but for a share ``lapse`` of the labels turned.

    As Christiano et al. (2017, arXiv 1706.03741) have it, there with a fixed share of answers at random.
    """
    return np.asarray(lapse + (1 - 2 * lapse) * expit(slope * margins))


def _aims(targets: Floats, weights: Floats) -> Floats:
    """The targets, a little towards ½ (Platt 1999), as if one more pair had come out either way.

    Who is never wrong on a few pairs is not infinitely sure.
    """
    count = weights.sum() ** 2 / (weights**2).sum()
    return np.asarray((count * targets + 1) / (count + 2))
