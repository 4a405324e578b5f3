"""A driver's options from a recipe: known names and, where a number is meant, a number that makes sense."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from pareto.config import suggest
from pareto.errors import ParetoError


def check_method(method: str, known: Collection[str], family: str) -> None:
    """Raise ParetoError with the nearest known method unless the family has this one."""
    if method not in known:
        raise ParetoError(f"driver.method: {family} has no '{method}'; {suggest(method, sorted(known))}")


def check_names(options: Mapping[str, Any], known: Collection[str], method: str) -> None:
    """Raise ParetoError with the nearest known option for the first one that the method does not have."""
    for name in options:
        if name not in known:
            raise ParetoError(f"driver.options: {method} has no option '{name}'; {suggest(name, sorted(known))}")


def whole(options: Mapping[str, Any], name: str, default: int, least: int) -> int:
    """An option that is a whole number.

    Raises:
        ParetoError: where it is something else or below ``least``.
    """
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ParetoError(f"driver.options.{name}: {value!r} is not a whole number of at least {least}")
    return value


def number(options: Mapping[str, Any], name: str, default: float, above: float, most: float = math.inf) -> float:
    """An option that is a number.

    Raises:
        ParetoError: where it is something else, not above ``above``, or more than ``most``.
    """
    value = options.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not above < value <= most or value == math.inf:
        upper = "" if most == math.inf else f" and at most {most:g}"
        raise ParetoError(f"driver.options.{name}: {value!r} is not a number above {above:.3g}{upper}")
    return float(value)
