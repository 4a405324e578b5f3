"""Best-of-N: draw several answers to a prompt, judge them, return the best; stop where more are not worth it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pareto.errors import ParetoError
from pareto.inference.best_of.cache import Cache
from pareto.inference.best_of.candidates import MOST, Best
from pareto.inference.best_of.drawing import Rejection
from pareto.inference.best_of.scoring import Judge
from pareto.inference.best_of.task import Stopping, Task
from pareto.records import Prompt
from pareto.rollouts.pool import row_seed

if TYPE_CHECKING:
    from pareto.inference.policy import Policy

CHUNK = 4
"""Answers drawn between two looks at whether to stop."""


def best_of(
    policy: Policy,
    prompt: str | Prompt,
    judge: Judge,
    *,
    n: int,
    seed: int = 0,
    max_new_tokens: int | None = None,
    stopping: Stopping | None = None,
    spread: float | None = None,
    chunk: int = CHUNK,
    rejection: Rejection | None = None,
    cache: Cache | None = None,
    progress: Callable[[int, int], None] = lambda tokens, most: None,
) -> Best:
    """The best of n answers. Those of one batch are drawn together, the prompt's prefill computed once.

    Args:
        policy: draws them.
        prompt: text; or a record, for rewards that want accepted answers or a source.
        judge: says which is best.
        n: answers at most, 1 to 1,024; with 1 the answer is that of ``Policy.answer``.
        seed: of the first answer; the others' follow from it, so that fewer answers are the first ones of more.
        max_new_tokens: longest answer; ``None``: the recipe's.
        stopping: ends the drawing before n; ``None``: all are drawn.
        spread: predicted for the prompt, for ``stopping``.
        chunk: answers drawn between two questions to ``stopping``, each chunk with a prefill of its own.
        rejection: ends answers at their beginning.
        cache: where answers are kept; one that is kept is returned as it was. Not asked where what the rewards are
            cannot be known for sure; an answer for which a reward failed is not kept.
        progress: called with (tokens drawn, tokens at most).

    Raises:
        ParetoError: n or chunk out of range; the prompt is longer than the context; see ``Judge.score``.
        TypeError: with a cache, a rule that is no dataclass.
    """
    if not 1 <= n <= MOST:
        raise ParetoError(f"best of {n}: from 1 to {MOST} answers can be drawn")
    if chunk < 1:
        raise ParetoError(f"best of {n} in chunks of {chunk}: a chunk has at least 1 answer")
    asked = prompt if isinstance(prompt, Prompt) else Prompt("asked", prompt, "asked")
    sampling = policy.recipe.sampling
    if max_new_tokens:
        sampling = sampling.model_copy(update={"max_new_tokens": max_new_tokens})
    task = Task(policy, asked, judge, sampling, row_seeds(seed, n), stopping, spread, chunk, rejection)
    key = task.key() if cache and judge.fingerprint else ""
    kept = cache.get(key) if cache and key else None
    if kept is not None:
        return replace(Best.from_json(kept), cached=True)
    best = task.draw(progress)
    # A reward that failed may do better next time.
    if cache and key and not any(candidate.failures for candidate in best.candidates):
        cache.put(key, best.to_json())
    return best


def row_seeds(seed: int, n: int) -> tuple[int, ...]:
    """The seeds of n answers; the first is ``seed`` itself, so that the best of one is the plain answer."""
    return (seed, *(row_seed(seed, "best of", k) for k in range(1, n)))
