"""How a trial is written into the study and read back, the same for every family."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.records import Proposal

Name = TypeVar("Name")
Key = tuple[tuple[float, ...], tuple[tuple[str, float], ...]]
"""Weights to six decimals and settings to six digits: proposals with equal keys are the same."""


@dataclass(frozen=True)
class Candidate:
    """A trial that is not yet in the study."""

    index: int
    """Position in the driver's own sequence, from 0; the corners come first."""
    weights: tuple[float, ...]
    """Shape (m,)."""
    sticks: tuple[float, ...]
    """The same in the unit cube, shape (m - 1,)."""
    settings: dict[str, float | int]
    proposed_by: str
    """Family and method, e.g. ``lattice/das-dennis``."""
    memory: dict[str, Any] = field(default_factory=dict)
    """System attributes of the trial: what a sampler must find again at its next proposal."""


def space(recipe: Recipe) -> dict[str, BaseDistribution]:
    """The parameters that every trial has: ``stick_0`` … ``stick_{m-2}`` and the searched settings.

    Raises:
        ParetoError: where a searched range is empty, not positive, or not whole for ``rank``.
    """
    params: dict[str, BaseDistribution] = {
        f"stick_{k}": FloatDistribution(0, 1) for k in range(len(recipe.objectives) - 1)
    }
    for name, (low, high) in recipe.driver.search.items():
        if not 0 < low <= high:
            raise ParetoError(f"driver.search.{name}: [{low:g}, {high:g}] is not a range of positive numbers")
        if name != "rank":
            params[name] = FloatDistribution(low, high, log=True)
        elif low.is_integer() and high.is_integer():
            params[name] = IntDistribution(int(low), int(high), log=True)
        else:
            raise ParetoError(f"driver.search.rank: [{low:g}, {high:g}] must be whole numbers")
    return params


def create(study: optuna.Study, recipe: Recipe, candidate: Candidate) -> Trial:
    """Put a candidate into the study, RUNNING, and return its trial.

    One transaction writes the whole trial, so no kill can leave half of one, and no trial that somebody
    else queued can be popped in its place.
    """
    sticks = {f"stick_{k}": u for k, u in enumerate(candidate.sticks)}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.RUNNING,
            params=sticks | candidate.settings,
            distributions=space(recipe),
            user_attrs=attributes(recipe, candidate.weights, candidate.proposed_by, candidate.index),
            system_attrs=candidate.memory,
        )
    )
    # Under the caller's lock, the newest running trial is the one just written.
    newest = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))[-1]
    return Trial(study, newest._trial_id)


def attributes(recipe: Recipe, weights: Sequence[float], proposed_by: str, index: int) -> dict[str, Any]:
    """The user attributes that every trial carries; the first m of the sequence are the corners, the experts."""
    return {
        "weights": dict(zip(recipe.names, map(float, weights), strict=True)),
        "kind": "expert" if index < len(weights) else "trained",
        "proposed_by": proposed_by,
        "index": index,
    }


def proposal(trial: Trial | FrozenTrial) -> Proposal:
    """The weights, in the recipe's order, and the settings that a trial of a driver asks for."""
    settings = {name: value for name, value in trial.params.items() if not name.startswith("stick_")}
    return Proposal(tuple(trial.user_attrs["weights"].values()), settings)


def tell(
    study: optuna.Study, trial: Trial | FrozenTrial, values: Sequence[float] | None, constraints: Sequence[float] = ()
) -> None:
    """Finish a running trial.

    Args:
        study: the study.
        trial: one of its running trials, from `Driver.ask` or read from the study.
        values: normalised objective values, shape (m,), to be maximised; None for a failed trial. A NaN
            among them fails the trial too.
        constraints: one number per priority, in order; 0 or less where it is kept. Optuna's samplers read
            them as ``priority_<k>``, and people as the user attribute ``violations`` (optuna-dashboard does
            not show the former).

    Raises:
        ValueError: where the number of values is not that of the objectives.
    """
    if values is not None and len(values) != len(study.directions):
        raise ValueError(f"{len(values)} values for {len(study.directions)} objectives")
    if values is None or any(map(math.isnan, values)):
        study.tell(trial.number, state=TrialState.FAIL)
        return
    live = Trial(study, trial._trial_id)
    for k, value in enumerate(constraints):
        # A kill between here and the last line leaves constraints behind; Optuna never replaces one.
        if f"priority_{k}" not in live.constraints:
            live.set_constraint(f"priority_{k}", value)
    live.set_user_attr("violations", [max(0.0, float(value)) for value in constraints])
    study.tell(trial.number, list(map(float, values)))


def sticks_of(trial: Trial | FrozenTrial, m: int) -> tuple[float, ...]:
    """A trial's point in the unit cube, shape (m - 1,)."""
    return tuple(trial.params[f"stick_{k}"] for k in range(m - 1))


def key(asked: Proposal | Candidate) -> Key:
    """What makes two proposals the same."""
    weights = tuple(round(w, 6) + 0.0 for w in asked.weights)
    return weights, tuple(sorted((name, float(f"{value:.6g}")) for name, value in asked.settings.items()))


def known(trials: Sequence[FrozenTrial]) -> dict[Key, FrozenTrial]:
    """Proposal → its trial; of several, the newest that did not fail, or else the newest."""
    return _newest(trials, lambda trial: key(proposal(trial)))


def by_index(trials: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Place in the driver's sequence → its trial; of several, the newest that did not fail, or else the newest."""
    return _newest(trials, lambda trial: int(trial.user_attrs["index"]))


def _newest(trials: Sequence[FrozenTrial], name: Callable[[FrozenTrial], Name]) -> dict[Name, FrozenTrial]:
    found: dict[Name, FrozenTrial] = {}
    for trial in trials:
        seen = found.get(name(trial))
        if seen is None or trial.state != TrialState.FAIL or seen.state == TrialState.FAIL:
            found[name(trial)] = trial
    return found


def cohort(m: int, budget: int) -> int:
    """How many trials a method looks at before it learns from them, where the recipe does not say.

    The libraries' own defaults (10 to 100) would spend a budget of a dozen trained adapters on the first
    generation: a quarter of the budget, but at least twice the m objectives.
    """
    return max(2 * m, -(-budget // 4))


def seed_for(*parts: int) -> int:
    """A seed within 32 bits from any integers, the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")
