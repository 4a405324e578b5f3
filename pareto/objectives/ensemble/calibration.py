"""From raw scores of reward models to numbers that can be trusted: common units, and how sure each is.

Two temperatures bring the members together: each member's own, so that its margins are log odds, and one for all, since
a mean of several says less than each of them. Both maximise the Bradley–Terry likelihood of held-out comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pareto.errors import ParetoError
from pareto.objectives.ensemble.error_model import Coefficients, fit_error_model
from pareto.objectives.ensemble.likelihood import lapses, lapsing, temperature
from pareto.objectives.ensemble.scores import EnsembleScores, PairScores, pair_scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """How the raw scores of k members become calibrated ones, and when they are to be doubted."""

    centre: tuple[float, ...]
    """Per member: its raw mean over the calibration completions."""
    scale: tuple[float, ...]
    """Per member, more than 0: raw units per nat."""
    lapse: float
    """Share of the labels that seem to be wrong whatever the margin, in [0, ½); 0 where none can be told."""
    slope: float
    """Lapses aside, σ(``slope`` · margin) is the probability that the first is better."""
    error_model: Coefficients | None
    """Of the log odds that the ensemble is wrong about a pair; ``None`` where the spread over members told no more of
    errors than the margin alone, which then decides, see ``fit_error_model``."""
    error_auc: tuple[float, float]
    """Area under the curve, for errors on unseen prompts, of the margin alone and of margin and spread; NaN where
    errors were too few."""
    spread_threshold: float
    """Completions of a greater spread go to review: a share ``review_rate`` of the calibration completions."""
    uncertainty_threshold: float
    """The same for pairs, see ``uncertainty``."""
    spread_quantiles: tuple[float, ...]
    """The spread's 0th, 1st, … 100th percentile over the calibration completions, to tell when traffic differs."""
    review_rate: float
    n: int
    """Pairs that it was made from."""

    def apply(self, raw: Floats) -> EnsembleScores:
        """Calibrated scores of raw ones, both (n, k)."""
        return EnsembleScores((raw - np.asarray(self.centre)) / np.asarray(self.scale))

    @property
    def uses_spread(self) -> bool:
        """Whether ``uncertainty`` looks at the spread."""
        return self.error_model is not None

    def probability(self, pairs: PairScores) -> Floats:
        """That a label prefers the first of two, (n,), with lapses; ``PairScores.probability`` knows none."""
        return lapsing(pairs.margin, self.lapse, self.slope)

    def uncertainty(self, pairs: PairScores) -> Floats:
        """Chance that the ensemble is wrong about which of two is better, (n,), in [0, 1]."""
        if self.error_model is None:
            p = self.probability(pairs)
            return np.minimum(p, 1 - p)
        base, per_margin, per_spread = self.error_model
        return np.asarray(expit(base + per_margin * np.abs(pairs.margin) + per_spread * pairs.spread))

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``from_json`` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """As ``to_json`` gave it, or as JSON brought it back: lists for tuples, None for NaN."""
        lists = {name: tuple(np.nan if x is None else x for x in v) for name, v in data.items() if isinstance(v, list)}
        return cls(**{**data, **lists})


def calibrate(
    first: Floats,
    second: Floats,
    targets: Floats,
    weights: Floats,
    groups: Sequence[str],
    review_rate: float,
) -> Calibration:
    """Calibrate an ensemble on comparisons that its members were not trained on.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599) with the Bradley–Terry likelihood of soft targets, which
    are drawn a little towards ½ as Platt (1999) does, so that comparisons which a member gets all right ask for no
    infinite scale. For the chance of a label and that of being wrong see ``lapses`` and ``fit_error_model``.

    Args:
        first: raw scores of the first completion of n pairs by k members, (n, k).
        second: of the second, (n, k).
        targets: (n,), probability that the first is better; ½ is a tie.
        weights: (n,), how much each pair counts, more than 0.
        groups: each pair's prompt.
        review_rate: share of completions, and of pairs, above the thresholds, in (0, 1).

    Raises:
        ParetoError: no pair but ties; a member that scores both completions of every pair the same.
    """
    if len(targets) < 2 or not (targets != 0.5).any():
        raise ParetoError(
            f"nothing to calibrate with: {len(targets)} held-out comparisons, "
            f"{int((targets != 0.5).sum())} of them no ties; label more, or hold out a larger share"
        )
    raw = np.concatenate([first, second])
    scale = np.array([temperature(m, targets, weights, f"member {i}") for i, m in enumerate((first - second).T)])
    mean = ((first - second) / scale).mean(axis=1)
    scale = scale * temperature(mean, targets, weights, "the members' mean")
    centre = raw.mean(axis=0)
    scored = EnsembleScores((raw - centre) / scale)
    n = len(targets)
    pairs = pair_scores(scored.take(np.arange(n)), scored.take(np.arange(n, 2 * n)))
    lapse, slope = lapses(pairs.margin, targets, weights, groups)
    model, aucs = fit_error_model(pairs, targets, weights, groups)
    quantiles = np.quantile(scored.spread, np.linspace(0, 1, 101))
    partly = Calibration(
        centre=tuple(centre.tolist()),
        scale=tuple(scale.tolist()),
        lapse=lapse,
        slope=slope,
        error_model=model,
        error_auc=aucs,
        spread_threshold=float(np.quantile(scored.spread, 1 - review_rate)),
        uncertainty_threshold=0.0,
        spread_quantiles=tuple(quantiles.tolist()),
        review_rate=review_rate,
        n=n,
    )
    threshold = float(np.quantile(partly.uncertainty(pairs), 1 - review_rate))
    return Calibration(**{**asdict(partly), "uncertainty_threshold": threshold})
