"""Apply rewards to rollouts; a reward that fails on a row costs that row, not the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.objectives.load import Reward
from pareto.objectives.verifiers.undecided import Undecided
from pareto.records import Prompt, Rollout


@dataclass(frozen=True)
class Failure:
    """A reward that could not score one rollout."""

    objective: str
    row: int
    """Index of the rollout."""
    reason: str
    """One line."""


@dataclass(frozen=True)
class Scores:
    """What the rewards say of the rollouts."""

    values: NDArray[np.float64]
    """Shape (n, m), in the objectives' own units (not signed); NaN where an objective does not apply or failed."""
    failures: list[Failure]
    """The rows that are NaN because a reward failed."""


def score(
    rewards: Sequence[Reward], prompts: Sequence[Prompt], rollouts: Sequence[Rollout], *, max_new_tokens: int
) -> Scores:
    """Score n rollouts by m rewards.

    A reward says ``None`` where it does not apply. One that raises or returns the wrong number of values is called
    again row by row; rows on which it raises, or returns NaN, infinity, something that is no number, or a value
    outside its declared range, are masked and reported; so are those that it calls ``Undecided``.

    Args:
        rewards: the m rewards.
        prompts: the n prompts, ``prompts[i]`` of ``rollouts[i]``.
        rollouts: the n completions.
        max_new_tokens: cap on a completion's length, in tokens.

    Raises:
        ParetoError: a reward fails on every row, or something it needs is missing.
    """
    columns: dict[str, list[Any]] = {
        "prompts": [p.text for p in prompts],
        "completions": [r.text for r in rollouts],
        "completion_ids": [list(r.token_ids) for r in rollouts],
        "answers": [p.answers for p in prompts],
        "source": [p.source for p in prompts],
    }
    values = np.full((len(rollouts), len(rewards)), np.nan)
    failures: list[Failure] = []
    for k, reward in enumerate(rewards):
        found = results(reward, columns, max_new_tokens, len(rollouts))
        failed = [Failure(reward.name, i, r) for i, r in enumerate(found) if isinstance(r, str)]
        if rollouts and len(failed) == len(rollouts):
            raise ParetoError(f"reward '{reward.name}' fails on every row: {failed[0].reason}")
        failures += failed
        for i, result in enumerate(found):
            if isinstance(result, float):
                values[i, k] = result
    return Scores(values, failures)


def results(reward: Reward, columns: dict[str, list[Any]], cap: int, n: int) -> list[float | str | None]:
    """For each of n rows a value, ``None`` where the reward does not apply, or the reason why it failed."""
    if n == 0:
        return []
    whole = _call(reward, columns, cap, n)
    if not isinstance(whole, str):
        return [_checked(reward, v) for v in whole]
    found: list[float | str | None] = []
    for i in range(n):
        one = _call(reward, {name: [column[i]] for name, column in columns.items()}, cap, 1)
        found.append(one if isinstance(one, str) else _checked(reward, one[0]))
    return found


def _call(reward: Reward, columns: dict[str, list[Any]], cap: int, n: int) -> list[Any] | str:
    """The reward's n values, or why there are none."""
    try:
        values = list(reward.function(**columns, max_new_tokens=cap))
    except ParetoError:  # something the user can put right: no row would fare better
        raise
    except (Exception, SystemExit) as e:  # a script that a reward imports may end itself
        return f"raised {' '.join(f'{type(e).__name__}: {e}'.split())}"
    return values if len(values) == n else f"returned {len(values)} values for {n} rows"


def _checked(reward: Reward, value: Any) -> float | str | None:
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return "returned a number too large to be told from infinity"
    except Exception:  # whatever a value of the user's own makes of it
        return f"returned a {type(value).__name__}, not a number"
    if isinstance(value, Undecided):
        return value.reason
    low, high = reward.range
    if not math.isfinite(number):
        return f"returned {number}"
    if not low <= number <= high:
        return f"returned {number:g}, outside its range {low:g} to {high:g}"
    return number
