"""When predicted weights are taken and when the default ones: only where that is known to pay.

The policy that the ensemble expects most of is taken where its expected gain over the default policy is so many times
what the members disagree by. How many times is not assumed but tested on prompts that neither the ensemble nor the
default was fitted to. The thresholds are tested in a fixed order up to the first that fails, so that with a chance of
``ERROR`` at most a rule is taken whose true gain is not above zero (Learn then Test with fixed sequence testing,
Angelopoulos et al. 2021, "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control"). Where none
passes, every prompt gets the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pareto.inference.auto_weights.regression import Floats, HeldOut, Integers

THRESHOLDS = (1.0, 0.0)
"""Expected gain, in standard deviations of the ensemble, in the order in which they are tested."""
ERROR = 0.1


class Gains(NamedTuple):
    """What the ensemble says of q prompts."""

    best: Integers
    """(q,) the policy that is expected most of."""
    mean: Floats
    """(q,) how much more than of the default, in the utility's units."""
    spread: Floats
    """(q,) standard deviation of that over the members."""


def gains(predicted: Floats, allowed: Integers, default: int) -> Gains:
    """The best policies and their expected gains.

    Args:
        predicted: by each member for each prompt and policy, (MEMBERS, q, P).
        allowed: indices of the policies that may be taken.
        default: one of them.
    """
    best = allowed[predicted.mean(axis=0)[:, allowed].argmax(axis=1)]
    gain = np.take_along_axis(predicted, best[None, :, None], axis=2)[..., 0] - predicted[:, :, default]
    return Gains(best, gain.mean(axis=0), gain.std(axis=0, ddof=1))


@dataclass(frozen=True)
class Rule:
    """Which policies may be taken, which is the default, and how sure a gain must be."""

    allowed: Integers
    """Indices of policies."""
    default: int
    """Best for all prompts alike, of those allowed."""
    threshold: float
    """In standard deviations of the ensemble; infinite: nothing that was learned passed the test."""

    @classmethod
    def calibrate(cls, held_out: HeldOut, utility: Floats, groups: Integers, allowed: Integers) -> Rule:
        """Test the thresholds.

        Args:
            held_out: predictions for prompts that the members did not see.
            utility: what was measured there, (n, P).
            groups: near-duplicates count once, (n,).
            allowed: indices of the policies that may be taken, at least one.
        """
        from scipy.stats import ttest_1samp

        of_group = np.unique(groups, return_inverse=True)[1]
        threshold = float("inf")
        for tried in THRESHOLDS:
            gained = np.zeros(len(utility))
            for fold in np.unique(held_out.fold):
                rows = np.flatnonzero(held_out.fold == fold)
                rule = cls(allowed, _best(utility[held_out.fold != fold], allowed), tried)
                taken, _, _ = rule.decide(held_out.predicted[:, rows])
                gained[rows] = utility[rows, taken] - utility[rows, rule.default]
            per_group = np.bincount(of_group, weights=gained)
            # Equal gains have no spread to test against; they are all 0 unless nothing is noisy.
            if np.ptp(per_group) == 0 or ttest_1samp(per_group, 0.0, alternative="greater").pvalue > ERROR:
                break
            threshold = tried
        return cls(allowed, _best(utility, allowed), threshold)

    def decide(self, predicted: Floats) -> tuple[Integers, Gains, NDArray[np.bool_]]:
        """Which policy each prompt gets.

        Args:
            predicted: (MEMBERS, q, P).

        Returns:
            The policies, (q,); what was expected; and whether a prompt got the default because its gain is not sure.
        """
        expected = gains(predicted, self.allowed, self.default)
        sure = np.zeros(len(expected.best), dtype=bool)
        if np.isfinite(self.threshold):
            sure = (expected.best == self.default) | (expected.mean > self.threshold * expected.spread)
        return np.where(sure, expected.best, self.default), expected, ~sure


def _best(utility: Floats, allowed: Integers) -> int:
    """The policy of the best mean utility over prompts, (n, P)."""
    return int(allowed[utility[:, allowed].mean(axis=0).argmax()])
