"""Train or interpolate: each soup is a free look at the policy that training at its weights might give.

First the experts, then looks at their soups, then training at the weights of a lattice, each from the best measured
policy for them, for as long as the expected gain in hypervolume exceeds its uncertainty. While an adapter is trained
or a look depends on what is still running, other workers wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pareto import simplex
from pareto.config import Recipe
from pareto.drivers.gain import LEAST_NOISE, Array, best_start, effect, expected_gains
from pareto.drivers.lattice import spread
from pareto.drivers.options import check_method, check_names, number, whole
from pareto.drivers.trials import Candidate, candidate_of, key, known, point_id, seed_for
from pareto.errors import ParetoError
from pareto.soups.weights import axes_weights, soup_of

OPTIONS = {
    "experts": ("looks", "n_partitions", "scale", "explore"),
    "backbone": ("looks", "n_partitions", "scale", "explore", "beta"),
}
"""What the first m adapters are → the options."""
ATTEMPTS = 3
"""Soups proposed that were looked at before; then there is nothing left to look at."""


@dataclass(frozen=True)
class Outlook:
    """What training at some weights promises."""

    weights: tuple[float, ...]
    """Shape (m,)."""
    start: dict[str, float]
    """Coefficients of the measured policy that it would start from."""
    gain: float
    """Expected gain in hypervolume, beyond what luck alone seems to gain."""
    uncertainty: float
    """Its standard deviation; training is worth it where the gain is larger."""


def explain(recipe: Recipe, trials: Sequence[FrozenTrial]) -> list[Outlook]:
    """What the driver of a recipe expects of each weight setting that it has not trained, the best first.

    Args:
        recipe: of family ``adaptive``.
        trials: of its study.

    Returns:
        Empty while nothing is measured; without meaning until the first m adapters are.
    """
    return Adaptive(recipe).outlooks([t for t in trials if "weights" in t.user_attrs])


@final
class Adaptive:
    """Looks at soups first, trains only where that is expected to help, and stops by itself.

    Options: ``looks`` in all (12), ``n_partitions`` of the lattice of weights to train at (4), ``scale``, the largest
    coefficient (1.5), ``explore``, adapters trained before the rule that stops is asked (1), and for backbones
    ``beta``, the weight of a backbone's own objective (0.7).
    """

    def __init__(self, recipe: Recipe) -> None:
        method, options, m = recipe.driver.method, recipe.driver.options, len(recipe.objectives)
        check_method(method, OPTIONS, "adaptive")
        check_names(options, OPTIONS[method], method)
        if recipe.training.start != "soup":
            raise ParetoError("training.start: the adaptive driver trains from soups; it must be 'soup'")
        self._recipe = recipe
        self.looks = whole(options, "looks", 12, least=0)
        """Soups measured in all."""
        self._explore = whole(options, "explore", 1, least=0)
        self._scale = number(options, "scale", 1.5, above=0)
        self._lattice = spread(simplex.das_dennis(m, whole(options, "n_partitions", 4, least=1)))
        self.first: Array = simplex.corners(m)
        """Weights of the first m adapters, (m, m)."""
        if method == "backbone":
            self.first = axes_weights(m, number(options, "beta", 0.7, above=1 / m, most=1))

    def propose(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """The next soup to look at or weights to train at; None while it waits, or when nothing is worth training."""
        if any(t.user_attrs["kind"] == "expert" for t in _running(trials)) or not _experts(trials):
            return None
        tried = known(trials)
        for candidate in self._first_looks(trials):
            if key(candidate) not in tried:
                return candidate
        if _running(trials):
            return None
        return self._next_look(trials) or self._training(trials)

    def exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether nothing runs and nothing more is worth looking at or training."""
        return not _running(trials) and self.propose(trials) is None

    def outlooks(self, trials: Sequence[FrozenTrial]) -> list[Outlook]:
        """What training at each weight setting promises that was not tried, the surest gain first."""
        experts, measured, tried = _experts(trials), _complete(trials), known(trials)
        settings = [w for w in self._lattice if measured and key(self._candidate(trials, w)) not in tried]
        if not settings:
            return []
        values, errors = np.array([t.values for t in measured]), np.array([_errors(t) for t in measured])
        # The base is the origin. Where an expert was given up, nothing is known to be won.
        won = np.array([experts[n].values[k] if n in experts else 0.0 for k, n in enumerate(self._recipe.names)])
        # By name and coefficient, as a trained adapter tells what it started from.
        place = {_items(_mixture(t)): i for i, t in enumerate(measured)}
        trained = [(i, place[_items(t.user_attrs["start"])]) for i, t in enumerate(measured) if "start" in t.user_attrs]
        result, start = np.array(trained, dtype=int).reshape(-1, 2).T
        training = self._recipe.training
        learnt = effect(
            np.array([list(measured[i].user_attrs["weights"].values()) for i in result]).reshape(-1, len(won)) * won,
            values[result] - values[start],
            errors[result] ** 2 + errors[start] ** 2,
            training.steps_from_soup / training.steps,
        )
        starts = np.array([best_start(values, w, training) for w in settings])
        gains, uncertainties = expected_gains(
            values,
            np.full(len(won), -self._recipe.evaluation.margin),
            values[starts],
            np.array(settings) * won,
            errors[starts] ** 2 + (errors**2).mean(axis=0),
            learnt,
            seed_for(self._recipe.seed),
        )
        found = [
            Outlook(tuple(w.tolist()), _mixture(measured[i]), float(gain), float(uncertainty))
            for w, i, gain, uncertainty in zip(settings, starts, gains, uncertainties, strict=True)
        ]
        return sorted(found, key=lambda o: o.uncertainty - o.gain)

    def _first_looks(self, trials: Sequence[FrozenTrial]) -> list[Candidate]:
        """Half of the looks: soups at well-spread weights; experts need none at the corners, backbones do."""
        experts = _experts(trials)
        corners = len(self.first) if self._recipe.driver.method == "experts" else 0
        count = min(-(-self.looks // 2), len(self._lattice) - corners)
        soups = [(w, self._soup(experts, w)) for w in self._lattice[corners : corners + count]]
        return [self._candidate(trials, w, coefficients=soup) for w, soup in soups if soup]

    def _soup(self, experts: dict[str, FrozenTrial], weights: Array) -> dict[str, float]:
        return soup_of(
            dict(zip(self._recipe.names, weights.tolist(), strict=True)),
            {name: point_id(trial) for name, trial in experts.items()},
            min(1.0, self._scale),
            {n: t.user_attrs["weights"] for n, t in experts.items()}
            if self._recipe.driver.method == "backbone"
            else None,
        )

    def _next_look(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """The soup whose measurement promises most, unless the looks are spent."""
        from pareto.soups.search import propose

        looked = {key(candidate_of(t)) for t in trials if t.user_attrs["kind"] == "soup"}
        if len(looked) >= self.looks:
            return None
        measured = _complete(trials)
        bank = {point_id(t): list(t.user_attrs["weights"].values()) for t in measured if t.user_attrs["kind"] != "soup"}
        coefficients = np.array([[_mixture(t).get(name, 0.0) for name in bank] for t in measured])
        lowest = min(0.0, *(c for w in self._lattice for c in self._soup(_experts(trials), w).values()))
        for attempt in range(ATTEMPTS):
            (found,) = propose(
                coefficients,
                np.array([t.values for t in measured]),
                reference=np.full(len(self.first), -self._recipe.evaluation.margin),
                box=(lowest, self._scale),
                count=1,
                seed=seed_for(self._recipe.seed, _next_index(trials), attempt),
            )
            # Rounded, so that the last bits of one machine's arithmetic make no other soup.
            soup = {name: c for name, c in zip(bank, found.round(4).tolist(), strict=True) if c}
            preference = np.clip(found, 0, None) @ np.array(list(bank.values()))
            candidate = self._candidate(trials, preference / (preference.sum() or 1.0), coefficients=soup)
            if soup and preference.any() and key(candidate) not in known(trials):
                return candidate
        return None

    def _training(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """Weights to train at; None where the budget is spent or no gain exceeds its uncertainty."""
        adapters = [t for t in trials if t.user_attrs["kind"] != "soup" and t.state != TrialState.FAIL]
        if len(adapters) >= self._recipe.driver.trials:
            return None
        explored = sum("start" in t.user_attrs for t in adapters)
        outlooks = self.outlooks(trials)
        if explored < self._explore:
            # By the gain alone: where none exceeds its uncertainty, the surest is the one that brings nothing.
            outlooks.sort(key=lambda o: -o.gain)
        else:
            outlooks = [o for o in outlooks if o.gain > o.uncertainty]
        if not outlooks:
            return None
        return self._candidate(trials, np.array(outlooks[0].weights), start=outlooks[0].start)

    def _candidate(
        self,
        trials: Sequence[FrozenTrial],
        weights: Array,
        coefficients: dict[str, float] | None = None,
        start: dict[str, float] | None = None,
    ) -> Candidate:
        return Candidate(
            index=_next_index(trials),
            weights=tuple(weights.tolist()),
            sticks=tuple(simplex.to_sticks(weights).tolist()),
            settings={},
            proposed_by=f"adaptive/{self._recipe.driver.method}",
            coefficients=coefficients or {},
            start=start,
        )


def _next_index(trials: Sequence[FrozenTrial]) -> int:
    return 1 + max(int(t.user_attrs["index"]) for t in trials)


def _running(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if t.state == TrialState.RUNNING]


def _complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The measured trials in the order of the driver's sequence, whatever the order in which workers ended."""
    return sorted((t for t in trials if t.state == TrialState.COMPLETE), key=lambda t: t.user_attrs["index"])


def _experts(trials: Sequence[FrozenTrial]) -> dict[str, FrozenTrial]:
    """Objective → the measured trial of its expert or backbone."""
    found = (t for t in _complete(trials) if t.user_attrs["kind"] == "expert")
    return {point_id(t).removeprefix("expert-"): t for t in found}


def _mixture(trial: FrozenTrial) -> dict[str, float]:
    """The coefficients of a trial's policy: a soup's own, or one of its adapter."""
    mixture: dict[str, float] = trial.user_attrs.get("coefficients", {point_id(trial): 1.0})
    return mixture


def _items(mixture: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(mixture.items()))


def _errors(trial: FrozenTrial) -> Array:
    """Standard errors of a trial's values, (m,)."""
    return np.asarray(np.maximum(trial.user_attrs.get("se", [0.0] * len(trial.values)), LEAST_NOISE))
