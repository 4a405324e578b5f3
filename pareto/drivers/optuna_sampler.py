"""Weights, and settings beside them, from any of Optuna's multi-objective samplers.

A sampler is asked in a copy of the study in memory, and what it proposes is then written to the study in
one piece. Anything that the sampler would have stored in the study for its next proposal (the position in a
quasi-random sequence, the parents of a generation) is stored with the trial instead.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Sequence
from typing import Any, final

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pareto.config import Recipe
from pareto.drivers.options import check_method, check_names
from pareto.drivers.trials import Candidate, by_index, cohort, key, known, seed_for, space, sticks_of
from pareto.errors import ParetoError
from pareto.simplex import from_sticks

UNFIT = {
    "BaseSampler": "abstract",
    "BaseGASampler": "abstract",
    "PartialFixedSampler": "wraps another sampler",
    "BruteForceSampler": "needs a finite space",
    "GridSampler": "the lattice family does this on the simplex",
    "CmaEsSampler": "has one objective only",
}
MEMORY = "pareto:sampler"
ATTEMPTS = 3
"""Proposals that repeat a trial before a random one takes their place."""


@final
class OptunaSampler:
    """A sampler by its class name, options by their names.

    ``population_size`` and ``n_startup_trials`` follow from the budget where the recipe does not give them.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._space = space(recipe)
        method = recipe.driver.method
        check_method(method, set(optuna.samplers.__all__) - set(UNFIT) - {"nsgaii"}, "optuna")
        self._class: type[BaseSampler] = getattr(optuna.samplers, method)
        names = set(inspect.signature(self._class).parameters)
        check_names(recipe.driver.options, names, method)
        size = cohort(len(recipe.objectives), recipe.driver.trials)
        fitting = {"population_size": size, "n_startup_trials": size}
        self._options = {k: v for k, v in fitting.items() if k in names} | recipe.driver.options
        try:
            self._sampler(index=0, attempt=0)
        except (TypeError, ValueError) as e:
            raise ParetoError(f"driver.options: {method}: {e}") from None

    def propose(self, trials: Sequence[FrozenTrial]) -> Candidate:
        """What the sampler proposes after these trials; a repeated proposal is replaced."""
        # As if no trial had failed that was asked again: a trial's place is its number in the copy.
        past = [trial for _, trial in sorted(by_index(trials).items())]
        study = _copy(past)
        tried = known(trials)
        for attempt in range(ATTEMPTS):
            study.sampler = self._sampler(len(past), attempt)
            candidate = self._ask(study, len(past))
            if key(candidate) not in tried:
                return candidate
        study.sampler = RandomSampler(seed_for(self._recipe.seed, len(past), ATTEMPTS))
        return self._ask(study, len(past))

    def exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Never: a sampler always has one more."""
        return False

    def _sampler(self, index: int, attempt: int) -> BaseSampler:
        """The sampler anew, its seed a function of the recipe's seed and the proposal's place."""
        seed = self._options.get("seed", self._recipe.seed)
        # A scrambled quasi-random sequence is one only under one seed; its position is in the study.
        fresh = seed_for(seed) if self._class is optuna.samplers.QMCSampler else seed_for(seed, index, attempt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._class(**{**self._options, "seed": fresh})

    def _ask(self, study: optuna.Study, index: int) -> Candidate:
        trial = study.ask(self._space)
        m = len(self._recipe.objectives)
        sticks = sticks_of(trial, m)
        candidate = Candidate(
            index=index,
            weights=tuple(from_sticks(sticks).tolist()),
            sticks=sticks,
            settings={k: v for k, v in trial.params.items() if k in self._recipe.driver.search},
            proposed_by=f"optuna/{self._recipe.driver.method}",
            memory={
                **trial.storage.get_trial_system_attrs(trial._trial_id),
                MEMORY: trial.storage.get_study_system_attrs(study._study_id),
            },
        )
        study.tell(trial, state=TrialState.FAIL)
        return candidate


def _copy(past: Sequence[FrozenTrial]) -> optuna.Study:
    """A study in memory in which a trial's id is its place in the sequence, with the sampler's memory."""
    logging.getLogger("optuna.storages._in_memory").setLevel(logging.WARNING)
    storage = InMemoryStorage()
    directions = [StudyDirection.MAXIMIZE] * len(past[0].user_attrs["weights"])
    study_id = storage.create_new_study(directions, "copy")
    for trial in past:
        storage.create_new_trial(study_id, trial)
    last: dict[str, Any] = next((t.system_attrs[MEMORY] for t in reversed(past) if MEMORY in t.system_attrs), {})
    for name, value in last.items():
        storage.set_study_system_attr(study_id, name, value)
    return optuna.Study("copy", storage)
