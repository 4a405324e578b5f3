"""What every way of replaying a pymoo algorithm shares: members as candidates, trials as members."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from pareto import simplex
from pareto.drivers.trials import Candidate, sticks_of
from pareto.errors import ParetoError

SAME = 1e-8
"""Distance of sticks up to which a replay counts as the same, whatever the last bits of a machine's arithmetic."""


def begun(algorithm: Any, m: int, seed: int) -> Any:
    """The algorithm before its first generation, on m objectives that it minimises over the sticks."""
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination

    problem = Problem(n_var=m - 1, n_obj=m, xl=0.0, xu=1.0)
    algorithm.setup(problem, termination=NoTermination(), seed=seed)
    return algorithm


def tell(algorithm: Any, members: Any, costs: simplex.Array) -> None:
    """Let the algorithm select among members with these costs, (n, m)."""
    from pymoo.core.evaluator import Evaluator
    from pymoo.problems.static import StaticProblem

    Evaluator().eval(StaticProblem(algorithm.problem, F=costs), members)
    algorithm.tell(infills=members)


def candidate(index: int, x: simplex.Array, proposed_by: str, memory: dict[str, Any] | None = None) -> Candidate:
    """A member, its sticks (m - 1,), as the driver's candidate of this index."""
    return Candidate(
        index=index,
        weights=tuple(simplex.from_sticks(x).tolist()),
        sticks=tuple(x.tolist()),
        settings={},
        proposed_by=proposed_by,
        memory=memory or {},
    )


def own(trials: Mapping[int, FrozenTrial], member: Candidate) -> FrozenTrial | None:
    """The trial that was made for a member.

    Raises:
        ParetoError: it was made of something else: the study is of another recipe or pymoo.
    """
    trial = trials.get(member.index)
    if trial and math.dist(sticks_of(trial, len(member.weights)), member.sticks) > SAME:
        raise ParetoError(
            f"trial {trial.number} is not what {member.proposed_by} proposes here: the driver's options, its "
            "budget, the seed or pymoo's version changed since; go on with those of the run, or start a new run"
        )
    return trial


def cost(trial: FrozenTrial, m: int) -> simplex.Array:
    """What pymoo minimises, shape (m,); NaN where the trial has no values."""
    return np.full(m, np.nan) if trial.values is None else -np.asarray(trial.values, dtype=float)
