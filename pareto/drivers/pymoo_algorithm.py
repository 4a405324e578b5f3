"""Weights from pymoo's evolutionary algorithms.

The study is the only state: a proposal follows from replaying the algorithm from its seed, generation by generation,
with the values that the study holds, up to the first member that no trial has tried. Within a process the replay goes
on from the generation that it came to last.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pareto import simplex
from pareto.config import Recipe
from pareto.drivers import pymoo_member
from pareto.drivers.lattice import enough_partitions, spread
from pareto.drivers.options import check_method, check_names, whole
from pareto.drivers.trials import Candidate, Key, by_index, cohort, key, known, seed_for
from pareto.errors import ParetoError

if TYPE_CHECKING:
    from pareto.drivers.pymoo_steady import Steadily

MODULES = {"NSGA3": "nsga3", "MOEAD": "moead", "SMSEMOA": "sms", "AGEMOEA": "age"}
OPTIONS = {
    "NSGA3": ("seed", "steady", "pop_size", "n_offsprings", "eliminate_duplicates", "n_partitions", "n_points"),
    "MOEAD": ("seed", "n_neighbors", "prob_neighbor_mating", "n_partitions", "n_points"),
    "SMSEMOA": ("seed", "steady", "pop_size", "n_offsprings", "eliminate_duplicates", "normalize"),
    "AGEMOEA": ("seed", "steady", "pop_size", "n_offsprings", "eliminate_duplicates"),
}
"""Algorithm → its options, by pymoo's names; ``n_partitions`` or ``n_points`` set the reference directions.

``steady`` is our own, see ``pymoo_steady``; MOEAD's neighbourhoods need its order, so it has a barrier only."""
REPEATS = 100
"""Generations without a new point after which the algorithm counts as exhausted."""


@dataclass
class _Replay:
    """How far the algorithm was replayed: all generations before ``asked`` have their values."""

    algorithm: Any
    """pymoo's."""
    asked: Any = None
    """The generation, or individual, whose values it waits for."""
    members: list[tuple[Candidate, Key]] = field(default_factory=list)
    """Its members, and what makes them the same as a trial."""
    index: int = 0
    """Place in the driver's sequence of its first member."""
    repeats: int = 0
    """Generations without a new point."""
    worst: simplex.Array = field(default_factory=lambda: np.array([-np.inf]))
    """Greatest costs seen, (m,)."""
    told: list[tuple[int, Key, int, bool]] = field(default_factory=list)
    """Members of the earlier generations: place, key, their trial's number, and whether it had values."""


@final
class PymooAlgorithm:
    """An algorithm by its class name, its variables the sticks.

    Without options the population is small enough for the budget, and NSGA3 and MOEAD have as many reference
    directions of least Riesz energy. A member that repeats a trial takes its values. Between generations slots are
    idle: ``steady`` proposes as soon as one is free, see ``pymoo_steady`` for what that costs and gains.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._method, self._options, self._m = recipe.driver.method, recipe.driver.options, len(recipe.objectives)
        check_method(self._method, MODULES, "pymoo")
        check_names(self._options, OPTIONS[self._method], self._method)
        if self._method == "AGEMOEA" and importlib.util.find_spec("numba") is None:
            raise ParetoError("driver.method: pymoo's AGEMOEA needs numba, which is not installed: pip install numba")
        self._size = whole(self._options, "pop_size", cohort(self._m, recipe.driver.trials), least=2)
        self._seed = seed_for(self._options.get("seed", recipe.seed))
        self._name = f"pymoo/{self._method}"
        self._ref_dirs = self._directions() if self._method in ("NSGA3", "MOEAD") else None
        self._size = self._population()
        # A lattice several times as fine as the population, so that the farthest point is chosen from the inside too.
        fine = simplex.das_dennis(self._m, enough_partitions(self._m, 8 * (self._m + self._size)))
        self._spread = np.array([simplex.to_sticks(w) for w in spread(fine)[self._m :]])
        self._came_to = self._begun()  # tells the recipe's mistakes that only pymoo knows
        self._steadily = self._steady()

    def propose(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """The first member without a trial; None while its generation waits for values, or when exhausted."""
        if self._steadily:
            return self._steadily.propose(trials)
        found = self._replay(trials)
        return found if isinstance(found, Candidate) else None

    def exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the algorithm only repeats itself."""
        if self._steadily:
            return self._steadily.exhausted(trials)
        return self._replay(trials) == "exhausted"

    def _replay(self, trials: Sequence[FrozenTrial]) -> Candidate | Literal["waiting", "exhausted"]:
        from pymoo.core.population import Population

        own = by_index([t for t in trials if t.user_attrs["proposed_by"] == self._name])
        tried = known(trials)
        if not self._still(own, tried):
            self._came_to = self._begun()
        at = self._came_to
        while at.repeats < REPEATS:
            if at.asked is None:
                at.asked = at.algorithm.ask()
                if at.asked is None:
                    break
                # MOEAD asks for one individual at a time after its first generation.
                asked = at.asked if isinstance(at.asked, Population) else [at.asked]
                made = [pymoo_member.candidate(at.index + k, x.X, self._name) for k, x in enumerate(asked)]
                at.members = [(candidate, key(candidate)) for candidate in made]
            generation, repeats = [], at.repeats
            for candidate, same in at.members:
                trial = pymoo_member.own(own, candidate) or tried.get(same)
                if trial is None:
                    return candidate
                repeats = 0 if candidate.index in own else repeats
                generation.append(trial)
            if any(t.state == TrialState.RUNNING for t in generation):
                return "waiting"
            costs = np.array([pymoo_member.cost(t, self._m) for t in generation])
            # The worst up to here, not in the whole study: a replay must not learn from the future.
            at.worst = np.fmax(at.worst, np.fmax.reduce(costs))
            costs = np.where(np.isnan(costs), np.where(np.isfinite(at.worst), at.worst, 0.0), costs)
            pymoo_member.tell(at.algorithm, at.asked, costs)
            at.told += [
                (candidate.index, same, trial.number, trial.values is not None)
                for (candidate, same), trial in zip(at.members, generation, strict=True)
            ]
            at.asked, at.index, at.repeats = None, at.index + len(generation), repeats + 1
        return "exhausted"

    def _begun(self) -> _Replay:
        return _Replay(pymoo_member.begun(self._algorithm(), self._m, self._seed), index=self._m)

    def _still(self, own: Mapping[int, FrozenTrial], tried: Mapping[Key, FrozenTrial]) -> bool:
        """Whether what the replay told the algorithm is what it would tell now."""
        for index, same, number, valued in self._came_to.told:
            trial = own.get(index) or tried.get(same)
            if trial is None or trial.number != number or (trial.values is not None) != valued:
                return False
        return True

    def _steady(self) -> Steadily | None:
        steady = self._options.get("steady", False)
        if not isinstance(steady, bool):
            raise ParetoError(f"driver.options.steady: {steady!r} is neither true nor false")
        if not steady:
            return None
        from pareto.drivers.pymoo_steady import Steadily

        if self._options.get("n_offsprings", 1) != 1:
            raise ParetoError("driver.options.n_offsprings: `steady` makes one at a time; leave one of the two out")
        return Steadily(self._algorithm, self._spread, self._m, self._size, self._seed, self._name)

    def _algorithm(self) -> Any:
        """The algorithm before its first generation, which is well spread between the corners.

        The corners stay out of it: their sticks are corners of the cube, and children of these lie on its faces
        (12 trials, 3 objectives, 4 seeds: 0.58 of the front's hypervolume with corners, 0.71 without).
        """
        own = ("seed", "steady", "pop_size", "n_partitions", "n_points")
        options = {k: v for k, v in self._options.items() if k not in own}
        if self._ref_dirs is not None:
            options["ref_dirs"] = self._ref_dirs
        if self._method != "MOEAD":  # whose population is one per direction
            options["pop_size"] = self._size
        if self._options.get("steady"):
            options["n_offsprings"] = 1
        module = importlib.import_module(f"pymoo.algorithms.moo.{MODULES[self._method]}")
        try:
            return getattr(module, self._method)(sampling=self._spread[: self._size], **options)
        except (TypeError, ValueError) as e:
            raise ParetoError(f"driver.options: {self._method}: {e}") from None

    def _population(self) -> int:
        """Members of the population: at least as many as reference directions."""
        if self._ref_dirs is None:
            return self._size
        directions = len(self._ref_dirs)
        if self._size < directions and "pop_size" in self._options:
            raise ParetoError(
                f"driver.options.pop_size: {self._size} is less than the {directions} reference directions"
            )
        return directions if self._method == "MOEAD" else max(self._size, directions)

    def _directions(self) -> simplex.Array:
        if "n_partitions" in self._options:
            return simplex.das_dennis(self._m, whole(self._options, "n_partitions", 1, least=1))
        n_points = whole(self._options, "n_points", self._size, least=self._m + 1)
        return simplex.energy(self._m, n_points, self._seed)
