"""N answers in one call against N calls: seconds, and whether the answers are the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

from pareto.bench.inference.ground import Found, Ground
from pareto.inference.best_of.candidates import Best
from pareto.inference.best_of.engine import best_of, row_seeds
from pareto.records import Prompt

N = 8
T = TypeVar("T")


def batched(ground: Ground) -> Found:
    """Seconds of both ways, medians over prompts and repeats; ``ratio`` is that of pairs."""
    sizes, asked = ground.sizes, ground.lab.asked("many")
    prompts = asked[:: max(1, len(asked) // sizes.prompts)][: sizes.prompts]
    _alone(ground, prompts[0], 0)  # the first call of a process is slow
    pairs: dict[str, list[tuple[float, float]]] = {}
    same = drawn = 0
    for k in range(sizes.repeats):
        for i, prompt in enumerate(prompts):
            ways = {
                "together": lambda p=prompt, k=k: _together(ground, p, k),
                "alone": lambda p=prompt, k=k: _each(ground, p, k),
            }
            # Whoever comes first pays for a cold processor: in turn.
            done = {name: _timed(ways[name]) for name in sorted(ways, reverse=bool((i + k) % 2))}
            (alone, one_by_one), (together, at_once) = done["alone"], done["together"]
            pairs.setdefault(prompt.id, []).append((alone, together))
            same += sum(a == b for a, b in zip(one_by_one, at_once, strict=True))
            drawn += N
        ground.say(f"batched: {k + 1} of {sizes.repeats}")
    every = [pair for of in pairs.values() for pair in of]
    ratio = median(alone / together for alone, together in every)
    by_prompt = [median(alone / together for alone, together in of) for of in pairs.values()]
    return {
        "n": N,
        "prompts": len(prompts),
        "repeats": sizes.repeats,
        "seconds_alone": median(alone for alone, _ in every),
        "seconds_together": median(together for _, together in every),
        "ratio_by_prompt": by_prompt,
        "same_answers": same / drawn,
        "figures": {
            "batched_vs_separate": ratio,
            "batched_vs_separate_lowest": min(by_prompt),
            "batched_same_answers": same / drawn,
        },
    }


Tokens = list[tuple[int, ...]]


def _together(ground: Ground, prompt: Prompt, seed: int) -> Tokens:
    best = best_of(ground.policy, prompt, ground.judge, n=N, seed=seed)
    return [candidate.token_ids for candidate in best.candidates]


def _each(ground: Ground, prompt: Prompt, seed: int) -> Tokens:
    return [_alone(ground, prompt, one).answer.token_ids for one in row_seeds(seed, N)]


def _alone(ground: Ground, prompt: Prompt, seed: int) -> Best:
    return best_of(ground.policy, prompt, ground.judge, n=1, seed=seed)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done
