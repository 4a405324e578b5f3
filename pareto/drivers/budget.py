"""The part that all drivers share: experts first, failures once more, then the family, within the budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from pareto.config import Recipe
from pareto.drivers.trials import Candidate, Key, attributes, candidate_of, create, key_of, space, sticks_of
from pareto.errors import ParetoError
from pareto.simplex import Array, corners, from_sticks, to_sticks


class Driver(Protocol):
    """Proposes trials; all that it knows is in the study."""

    def ask(self) -> Trial | None:
        """The next trial, already RUNNING in the study; None when there is nothing to ask now.

        None means that the budget is spent, that the method has no more to propose, or that it waits for
        running trials. The caller holds the study's lock.
        """
        ...

    def finished(self) -> bool:
        """Whether nothing more will be asked, unless a trial that is still running fails."""
        ...


class Family(Protocol):
    """Proposes what comes after the first m adapters; a pure function of the study's trials."""

    def propose(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """The next candidate that no trial has tried; None when waiting or exhausted."""
        ...

    def exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether no candidate will come any more, whatever the running trials bring."""
        ...


def make(recipe: Recipe, study: optuna.Study) -> Driver:
    """The driver that a recipe asks for.

    Args:
        recipe: its ``driver`` section names family, method, options and budget.
        study: multi-objective, every direction "maximize".

    Raises:
        ParetoError: on an unknown method or option, or a budget below the number of objectives.
    """
    m = len(recipe.objectives)
    if recipe.driver.trials < m:
        raise ParetoError(
            f"driver.trials: {recipe.driver.trials} is too few; {m} objectives need at least {m}, one expert each"
        )
    if recipe.driver.family == "adaptive":
        from pareto.drivers.adaptive import Adaptive

        adaptive = Adaptive(recipe)
        return _FamilyDriver(recipe, study, adaptive, adaptive.first, adaptive.looks)
    return _FamilyDriver(recipe, study, _family(recipe), corners(m), 0)


def _family(recipe: Recipe) -> Family:
    """The family with its options checked; imports only the library that it needs."""
    if recipe.driver.family == "lattice":
        from pareto.drivers.lattice import Lattice

        return Lattice(recipe)
    if recipe.driver.family == "optuna":
        from pareto.drivers.optuna_sampler import OptunaSampler

        return OptunaSampler(recipe)
    from pareto.drivers.pymoo_algorithm import PymooAlgorithm

    return PymooAlgorithm(recipe)


@final
class _FamilyDriver:
    """A family within its budget of adapters to train and soups to look at, after the first m adapters."""

    def __init__(self, recipe: Recipe, study: optuna.Study, family: Family, first: Array, looks: int) -> None:
        self._recipe = recipe
        self._study = study
        self._family = family
        self._first = first
        self._looks = looks

    def ask(self) -> Trial | None:
        trials = self._study.get_trials(deepcopy=False)
        if self._spent(trials) and not _queued(trials):
            return None
        candidate = self._again(trials) or self._of_the_first(trials)
        if candidate is None and _queued(trials):
            return self._take_queued(trials)
        candidate = candidate or self._family.propose(_ours(trials))
        return create(self._study, self._recipe, candidate) if candidate else None

    def finished(self) -> bool:
        trials = self._study.get_trials(deepcopy=False)
        if _queued(trials):
            return False
        if self._spent(trials):
            return True
        return not (self._again(trials) or self._of_the_first(trials)) and self._family.exhausted(_ours(trials))

    def _spent(self, trials: Sequence[FrozenTrial]) -> bool:
        budget = self._recipe.driver.trials
        # As many proposals given up as there were to be: the trouble is not with the proposals.
        given_up = sum(len(failed) > 1 for failed in _failures(trials))
        alive = [t for t in trials if t.state != TrialState.FAIL]
        looks = sum(t.user_attrs.get("kind") == "soup" for t in alive)
        return (len(alive) - looks >= budget and looks >= self._looks) or given_up >= budget

    def _again(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """A proposal whose only trial failed, to be asked once more as it was."""
        for failed in _failures(trials):
            if len(failed) == 1:
                return candidate_of(failed[0])
        return None

    def _of_the_first(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """The next of the first m, the corners for most families, that no trial has tried."""
        tried = {t.user_attrs["index"] for t in _ours(trials)}
        for index, weights in enumerate(self._first):
            if index not in tried:
                return Candidate(
                    index=index,
                    weights=tuple(weights.tolist()),
                    sticks=tuple(to_sticks(weights).tolist()),
                    settings=self._default_settings(),
                    proposed_by=f"{self._recipe.driver.family}/{self._recipe.driver.method}",
                )
        return None

    def _default_settings(self) -> dict[str, float | int]:
        """What an expert is trained with: the recipe's own settings, moved into the searched ranges."""
        training = self._recipe.training
        own = {"beta": training.beta, "learning_rate": training.learning_rate, "rank": training.lora.rank}
        return {
            name: type(own[name])(min(max(own[name], low), high))
            for name, (low, high) in self._recipe.driver.search.items()
        }

    def _take_queued(self, trials: Sequence[FrozenTrial]) -> Trial:
        """Start what a person enqueued, or what Optuna's own retry of a stale trial put back."""
        trial = self._study.ask(space(self._recipe))
        if "weights" not in trial.user_attrs:
            sticks = sticks_of(trial, len(self._recipe.objectives))
            queued = Candidate(
                index=1 + max(t.user_attrs["index"] for t in _ours(trials)),
                weights=tuple(from_sticks(sticks).tolist()),
                sticks=sticks,
                settings={},
                proposed_by="queue",
            )
            for name, value in attributes(self._recipe, queued).items():
                trial.set_user_attr(name, value)
        return trial


def _queued(trials: Sequence[FrozenTrial]) -> bool:
    return any(t.state == TrialState.WAITING for t in trials)


def _ours(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that say what they try; one still in the queue may not."""
    return [t for t in trials if t.params and "weights" in t.user_attrs]


def _failures(trials: Sequence[FrozenTrial]) -> list[list[FrozenTrial]]:
    """The failed trials of each proposal that has no other trial, oldest proposal first."""
    groups: dict[Key, list[FrozenTrial]] = {}
    if all(trial.state != TrialState.FAIL for trial in trials):
        return []
    for trial in _ours(trials):
        groups.setdefault(key_of(trial), []).append(trial)
    return [group for group in groups.values() if all(t.state == TrialState.FAIL for t in group)]
