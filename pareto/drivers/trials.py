"""How a trial is written into the study and read back, the same for every family."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeVar

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.records import Proposal

Name = TypeVar("Name")
Kind = Literal["expert", "trained", "soup"]
Items = tuple[tuple[str, float], ...]
Key = tuple[tuple[float, ...], Items, Items]
"""Weights to six decimals, settings and coefficients to six digits: proposals with equal keys are the same."""


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
    coefficients: dict[str, float] = field(default_factory=dict)
    """Adapter's point id → λ of the soup that is only measured; empty: an adapter is trained."""
    start: dict[str, float] | None = None
    """Coefficients of the soup that training starts from; None: training's own choice."""

    @property
    def kind(self) -> Kind:
        """``soup`` trains nothing; the first m of the sequence are the experts."""
        if self.coefficients:
            return "soup"
        return "expert" if self.index < len(self.weights) else "trained"


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
            user_attrs=attributes(recipe, candidate),
            system_attrs=candidate.memory,
        )
    )
    # Under the caller's lock, the newest running trial is the one just written.
    newest = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))[-1]
    return Trial(study, newest._trial_id)


def attributes(recipe: Recipe, candidate: Candidate) -> dict[str, Any]:
    """The user attributes that every trial carries, and ``coefficients`` and ``start`` where the candidate has them."""
    attrs: dict[str, Any] = {
        "weights": dict(zip(recipe.names, map(float, candidate.weights), strict=True)),
        "kind": candidate.kind,
        "proposed_by": candidate.proposed_by,
        "index": candidate.index,
    }
    if candidate.coefficients:
        attrs["coefficients"] = candidate.coefficients
    if candidate.start is not None:
        attrs["start"] = candidate.start
    return attrs


def candidate_of(trial: FrozenTrial) -> Candidate:
    """What a trial of a driver was before it came into the study."""
    asked, attrs = proposal(trial), trial.user_attrs
    return Candidate(
        index=attrs["index"],
        weights=asked.weights,
        sticks=sticks_of(trial, len(asked.weights)),
        settings=asked.settings,
        proposed_by=attrs["proposed_by"],
        memory={k: v for k, v in trial.system_attrs.items() if not k.startswith("constraints")},
        coefficients=attrs.get("coefficients", {}),
        start=attrs.get("start"),
    )


def proposal(trial: Trial | FrozenTrial) -> Proposal:
    """The weights, in the recipe's order, and the settings that a trial of a driver asks for."""
    settings = {name: value for name, value in trial.params.items() if not name.startswith("stick_")}
    return Proposal(tuple(trial.user_attrs["weights"].values()), settings)


def point_id(trial: Trial | FrozenTrial) -> str:
    """A trial's name among the points: ``expert-<objective>``, ``look-<number>`` of a soup, or ``trial-<number>``."""
    if trial.user_attrs["kind"] == "expert":
        weights: dict[str, float] = trial.user_attrs["weights"]
        return f"expert-{max(weights, key=lambda n: weights[n])}"
    return f"look-{trial.number}" if trial.user_attrs["kind"] == "soup" else f"trial-{trial.number}"


def tell(
    study: optuna.Study,
    trial: Trial | FrozenTrial,
    values: Sequence[float] | None,
    constraints: Sequence[float] = (),
    se: Sequence[float] | None = None,
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
        se: standard errors of the values in the same units, shape (m,); the adaptive driver reads them.

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
    if se is not None:
        live.set_user_attr("se", list(map(float, se)))
    study.tell(trial.number, list(map(float, values)))


def sticks_of(trial: Trial | FrozenTrial, m: int) -> tuple[float, ...]:
    """A trial's point in the unit cube, shape (m - 1,)."""
    return tuple(trial.params[f"stick_{k}"] for k in range(m - 1))


def key(candidate: Candidate) -> Key:
    """What makes two proposals the same."""
    return _key(candidate.weights, tuple(candidate.settings.items()), tuple(candidate.coefficients.items()))


def key_of(trial: FrozenTrial) -> Key:
    """The key of what a trial of a driver tries."""
    attrs = trial.user_attrs
    settings = tuple(item for item in trial.params.items() if not item[0].startswith("stick_"))
    return _key(tuple(attrs["weights"].values()), settings, tuple(attrs.get("coefficients", {}).items()))


# Drivers look at every trial at every ask.
@lru_cache(maxsize=1 << 16)
def _key(weights: tuple[float, ...], settings: Items, coefficients: Items) -> Key:
    return tuple(round(w, 6) + 0.0 for w in weights), _items(settings), _items(coefficients)


def _items(numbers: Items) -> Items:
    return tuple(sorted((name, float(f"{value:.6g}")) for name, value in numbers))


def known(trials: Sequence[FrozenTrial]) -> dict[Key, FrozenTrial]:
    """Proposal → its trial; of several, the newest that did not fail, or else the newest."""
    return _newest(trials, key_of)


def by_index(trials: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Place in the driver's sequence → its trial; of several, the newest that did not fail, or else the newest."""
    return _newest(trials, lambda trial: int(trial.user_attrs["index"]))


def _newest(trials: Sequence[FrozenTrial], name: Callable[[FrozenTrial], Name]) -> dict[Name, FrozenTrial]:
    found: dict[Name, FrozenTrial] = {}
    for trial in trials:
        named = name(trial)
        seen = found.get(named)
        if seen is None or trial.state != TrialState.FAIL or seen.state == TrialState.FAIL:
            found[named] = trial
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
