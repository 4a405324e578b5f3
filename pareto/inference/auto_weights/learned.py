"""What was learned: from a prompt's features to one of the run's weights, or to the default ones with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.inference.auto_weights.familiar import Familiar
from pareto.inference.auto_weights.regression import (
    KINDS,
    Ensemble,
    Floats,
    HeldOut,
    Integers,
    Kind,
    Learner,
    choose_learner,
)
from pareto.inference.auto_weights.rule import Rule

FEWEST = 20
"""Prompts that something can be learned from."""


@dataclass(frozen=True, eq=False)
class Learned:
    """P policies with their weights, and an ensemble that tells which one a prompt is best answered by."""

    ids: tuple[str, ...]
    """Of the policies' points, (P,)."""
    weights: Floats
    """(P, m), on the simplex."""
    learner: Learner
    errors: dict[str, float]
    """Kind of learner → its least squared error on prompts left out, as a share of that of the mean."""
    ensemble: Ensemble
    held_out: HeldOut
    utility: Floats
    """(n, P) of the prompts that were learned from, in base standard deviations."""
    familiar: Familiar
    """Those prompts."""

    @classmethod
    def fit(
        cls,
        ids: Sequence[str],
        weights: Floats,
        prompts: Familiar,
        utility: Floats,
        kinds: Sequence[Kind] = KINDS,
        seed: int = 0,
    ) -> Learned:
        """Learn from n prompts what P policies are worth.

        Args:
            ids: of the policies.
            weights: of the policies, (P, m).
            prompts: n prompts with their features.
            utility: (n, P).
            kinds: of learners, of which the better one is taken.
            seed: of folds, bootstraps and the network.

        Raises:
            ParetoError: too few prompts.
        """
        if len(utility) < FEWEST:
            raise ParetoError(
                f"weights: {len(utility)} prompts with a utility cannot be learned from; at least {FEWEST} are needed"
            )
        # How hard a prompt is says nothing of which policy suits it.
        y, x, groups = utility - utility.mean(axis=1, keepdims=True), prompts.x, prompts.groups
        learner, errors = choose_learner(x, y, groups, kinds, seed)
        held_out = HeldOut.fit(learner, x, y, groups, seed)
        ensemble = Ensemble.fit(learner, x, y, groups, seed)
        return cls(tuple(ids), weights, learner, errors, ensemble, held_out, utility, prompts)

    def rule(self, allowed: Sequence[str] | None = None) -> Rule:
        """When to take what is predicted, if only these policies may be taken.

        Raises:
            ParetoError: none of them may.
        """
        keep = [i for i, name in enumerate(self.ids) if allowed is None or name in allowed]
        if not keep:
            raise ParetoError("weights: none of the policies with weights keeps the priorities")
        return Rule.calibrate(self.held_out, self.utility, self.familiar.groups, np.array(keep))

    def take(self, x: Floats, rule: Rule) -> Taken:
        """Policies for prompts with features (q, d)."""
        predicted = self.ensemble.predict(x)
        chosen, expected, unsure = rule.decide(predicted)
        strange = self.familiar.strange(x)
        return Taken(
            chosen=np.where(strange, rule.default, chosen),
            gain=expected.mean,
            spread=expected.spread,
            unsure=unsure,
            strange=strange,
        )


@dataclass(frozen=True, eq=False)
class Taken:
    """What q prompts get."""

    chosen: Integers
    """(q,) index of the policy."""
    gain: Floats
    """(q,) expected over the default, of the best allowed one, in base standard deviations."""
    spread: Floats
    """(q,) standard deviation of that."""
    unsure: NDArray[np.bool_]
    """(q,) the default is taken because the gain is not sure."""
    strange: NDArray[np.bool_]
    """(q,) the default is taken because the prompt is unlike those that were learned from."""

    @property
    def declined(self) -> NDArray[np.bool_]:
        """(q,) whether the default is taken for want of certainty."""
        return np.asarray(self.unsure | self.strange)
