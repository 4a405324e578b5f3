"""Many steps, one score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from pareto.config import suggest
from pareto.errors import ParetoError

How = Literal["last", "min", "prod", "mean"]


def aggregate_steps(values: Sequence[float], how: How) -> float:
    """One score for a completion from those of its steps.

    ``min`` and ``prod`` as in Lightman et al. 2023 (arXiv 2305.20050; the product falls with every step, however
    good), ``last`` as for models of a step's value (Uesato et al. 2022, arXiv 2211.14275), ``mean``.

    Args:
        values: of the steps, in their order.
        how: by name.

    Raises:
        ValueError: no steps.
    """
    if not values:
        raise ValueError("no steps to aggregate")
    if how == "last":
        return values[-1]
    if how == "min":
        return min(values)
    return math.prod(values) if how == "prod" else math.fsum(values) / len(values)


def check_how(how: str) -> How:
    """An option's value as a way to aggregate.

    Raises:
        ParetoError: it is none; names the nearest.
    """
    for known in get_args(How):
        if how == known:
            return known  # type: ignore[no-any-return]
    raise ParetoError(f"option 'how' of a process reward: '{how}' is none; {suggest(str(how), get_args(How))}")
