"""From a run's measured policies to the one that its priorities allow and a wish prefers, with every reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pareto.choice.admission import admit
from pareto.choice.candidates import Candidates
from pareto.choice.decide import Wish, decide
from pareto.choice.levels import format_levels
from pareto.choice.prices import prices
from pareto.choice.priorities import Verdict, judge
from pareto.choice.standing import standing
from pareto.config import Level
from pareto.errors import ParetoError
from pareto.front.dominance import nondominated
from pareto.frontier import find_point
from pareto.records import Point
from pareto.store.run import Run


def choose(run: Run, levels: Sequence[Level], wish: Wish | None = None) -> dict[str, Any]:
    """Filter by the priorities on validation, decide among what is kept, confirm on test.

    Args:
        run: the run.
        levels: priorities, the highest first.
        wish: what decides among the policies that keep them; default: balance.

    Returns:
        ``run``, ``priorities`` (as text), ``levels`` (each as text), ``verdict`` (see ``Verdict.to_json``), ``prices``,
        and ``chosen``: ``None`` where nothing is kept, else ``id``, ``coefficients``, ``mean``, ``se``, ``kl`` on
        validation and its ``admission``.

    Raises:
        ParetoError: nothing is measured yet.
    """
    levels = tuple(levels)
    candidates, found = _judged(run, levels)
    chosen = None
    if found.kept:
        name = decide(candidates, found.kept, wish)
        point = find_point(run, name, "validation")
        admission = admit(run, point, levels, found)
        chosen = {
            "id": name,
            "mean": point.mean,
            "se": point.se,
            "kl": point.kl,
            "coefficients": point.coefficients,
            "admission": admission.to_json(),
        }
    return {
        "run": run.name,
        "priorities": format_levels(levels),
        "levels": [format_levels([level]) for level in levels],
        "verdict": found.to_json(),
        "prices": [price.to_json() for price in prices(candidates, levels)],
        "chosen": chosen,
    }


def best(run: Run) -> Point:
    """The balanced policy under the priorities that the run stands under, as measured on test where it was.

    Raises:
        ParetoError: nothing is measured yet, or no policy keeps the priorities.
    """
    levels = standing(run)
    candidates, found = _judged(run, levels)
    if not found.kept:
        assert found.relaxation is not None
        raise ParetoError(f"run '{run.name}': {found.relaxation.text}")
    return find_point(run, decide(candidates, found.kept))


def reachable(run: Run) -> set[str]:
    """Ids of the policies that keep the run's priorities and that no other such policy dominates, on validation.

    None where it stands under no priorities: all are within reach then.
    """
    levels = standing(run)
    if not levels:
        return set()
    candidates, found = _judged(run, levels)
    kept = [i for i, name in enumerate(candidates.ids) if name in set(found.kept)]
    front = nondominated(candidates.frame.normalise(candidates.means[kept]))
    return {candidates.ids[i] for i, keep in zip(kept, front, strict=True) if keep}


def _judged(run: Run, levels: tuple[Level, ...]) -> tuple[Candidates, Verdict]:
    candidates = Candidates.of(run)
    return candidates, judge(candidates, levels)
