"""Weights from pymoo's evolutionary algorithms.

Stateless: each proposal replays the algorithm from its seed, generation by generation, with the values that
the study holds, up to the first member that no trial has tried. The replay costs milliseconds.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pareto import simplex
from pareto.config import Recipe
from pareto.drivers.lattice import enough_partitions, spread
from pareto.drivers.options import check_method, check_names, whole
from pareto.drivers.trials import Candidate, by_index, cohort, key, known, seed_for, sticks_of
from pareto.errors import ParetoError

MODULES = {"NSGA3": "nsga3", "MOEAD": "moead", "SMSEMOA": "sms", "AGEMOEA": "age"}
OPTIONS = {
    "NSGA3": ("seed", "pop_size", "n_offsprings", "eliminate_duplicates", "n_partitions", "n_points"),
    "MOEAD": ("seed", "n_neighbors", "prob_neighbor_mating", "n_partitions", "n_points"),
    "SMSEMOA": ("seed", "pop_size", "n_offsprings", "eliminate_duplicates", "normalize"),
    "AGEMOEA": ("seed", "pop_size", "n_offsprings", "eliminate_duplicates"),
}
"""Algorithm → its options, by pymoo's names; ``n_partitions`` or ``n_points`` set the reference directions."""
REPEATS = 100
"""Generations without a new point after which the algorithm counts as exhausted."""


@final
class PymooAlgorithm:
    """An algorithm by its class name, its variables the sticks.

    Without options the population is small enough for the budget, and NSGA3 and MOEAD have as many reference
    directions of least Riesz energy. A member that repeats a trial takes its values.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._method, self._options, self._m = recipe.driver.method, recipe.driver.options, len(recipe.objectives)
        check_method(self._method, MODULES, "pymoo")
        check_names(self._options, OPTIONS[self._method], self._method)
        if self._method == "AGEMOEA" and importlib.util.find_spec("numba") is None:
            raise ParetoError("driver.method: pymoo's AGEMOEA needs numba, which is not installed: pip install numba")
        self._size = whole(self._options, "pop_size", cohort(self._m, recipe.driver.trials), least=2)
        self._seed = seed_for(self._options.get("seed", recipe.seed))
        self._algorithm()

    def propose(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """The first member without a trial; None while its generation waits for values, or when exhausted."""
        found = self._replay(trials)
        return found if isinstance(found, Candidate) else None

    def exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the algorithm only repeats itself."""
        return self._replay(trials) == "exhausted"

    def _replay(self, trials: Sequence[FrozenTrial]) -> Candidate | Literal["waiting", "exhausted"]:
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.problems.static import StaticProblem

        own = by_index([t for t in trials if t.user_attrs["proposed_by"] == f"pymoo/{self._method}"])
        tried = known(trials)
        algorithm = self._algorithm()
        problem = Problem(n_var=self._m - 1, n_obj=self._m, xl=0.0, xu=1.0)
        algorithm.setup(problem, termination=NoTermination(), seed=self._seed)
        index, repeats = self._m, 0
        worst = np.full(self._m, -np.inf)
        while repeats < REPEATS:
            asked = algorithm.ask()
            if asked is None:
                break
            generation = []
            # MOEAD asks for one individual at a time after its first generation.
            for member in asked if isinstance(asked, Population) else [asked]:
                candidate = self._candidate(index, member.X)
                trial = self._own(own, candidate) or tried.get(key(candidate))
                if trial is None:
                    return candidate
                repeats = 0 if index in own else repeats
                generation.append(trial)
                index += 1
            if any(t.state == TrialState.RUNNING for t in generation):
                return "waiting"
            costs = np.array([_cost(t, self._m) for t in generation])
            # The worst up to here, not in the whole study: a replay must not learn from the future.
            worst = np.fmax(worst, np.fmax.reduce(costs))
            costs = np.where(np.isnan(costs), np.where(np.isfinite(worst), worst, 0.0), costs)
            Evaluator().eval(StaticProblem(problem, F=costs), asked)
            algorithm.tell(infills=asked)
            repeats += 1
        return "exhausted"

    def _candidate(self, index: int, x: simplex.Array) -> Candidate:
        return Candidate(
            index=index,
            weights=tuple(simplex.from_sticks(x).tolist()),
            sticks=tuple(x.tolist()),
            settings={},
            proposed_by=f"pymoo/{self._method}",
        )

    @staticmethod
    def _own(own: Mapping[int, FrozenTrial], candidate: Candidate) -> FrozenTrial | None:
        """The trial that was made for this member; a study of another recipe or pymoo is refused."""
        trial = own.get(candidate.index)
        if trial and not np.allclose(sticks_of(trial, len(candidate.weights)), candidate.sticks, atol=1e-9):
            raise ParetoError(
                f"trial {trial.number} is not what {candidate.proposed_by} proposes here: the driver's options, its "
                "budget, the seed or pymoo's version changed since; go on with those of the run, or start a new run"
            )
        return trial

    def _algorithm(self) -> Any:
        """The algorithm before its first generation, which is well spread between the corners.

        The corners stay out of it: their sticks are corners of the cube, and children of these lie on its faces
        (12 trials, 3 objectives, 4 seeds: 0.58 of the front's hypervolume with corners, 0.71 without).
        """
        options = {k: v for k, v in self._options.items() if k not in ("seed", "pop_size", "n_partitions", "n_points")}
        size = self._size
        if self._method in ("NSGA3", "MOEAD"):
            options["ref_dirs"] = self._directions()
            directions = len(options["ref_dirs"])
            if size < directions and "pop_size" in self._options:
                raise ParetoError(f"driver.options.pop_size: {size} is less than the {directions} reference directions")
            size = directions if self._method == "MOEAD" else max(size, directions)
        if self._method != "MOEAD":
            options["pop_size"] = size
        # A lattice several times as fine, so that the farthest point is chosen from the inside too.
        fine = simplex.das_dennis(self._m, enough_partitions(self._m, 8 * (self._m + size)))
        first = np.array([simplex.to_sticks(w) for w in spread(fine)[self._m : self._m + size]])
        module = importlib.import_module(f"pymoo.algorithms.moo.{MODULES[self._method]}")
        try:
            return getattr(module, self._method)(sampling=first, **options)
        except (TypeError, ValueError) as e:
            raise ParetoError(f"driver.options: {self._method}: {e}") from None

    def _directions(self) -> simplex.Array:
        if "n_partitions" in self._options:
            return simplex.das_dennis(self._m, whole(self._options, "n_partitions", 1, least=1))
        n_points = whole(self._options, "n_points", self._size, least=self._m + 1)
        return simplex.energy(self._m, n_points, self._seed)


def _cost(trial: FrozenTrial, m: int) -> simplex.Array:
    """What pymoo minimises, shape (m,); NaN where the trial has no values."""
    return np.full(m, np.nan) if trial.values is None else -np.asarray(trial.values, dtype=float)
