"""The cache: what a hit costs, and whether a prompt that is nearly the same ever hits."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pareto.bench.inference.ground import Found, Ground
from pareto.inference.best_of.cache import Cache
from pareto.inference.best_of.engine import CHUNK, best_of, row_seeds
from pareto.inference.best_of.task import Task
from pareto.records import Prompt

N = 8
WORDS = ("not", "never", "without", "no", "also", "please", "only", "don't")


def keeping(ground: Ground) -> Found:
    """Seconds of hits of whole calls, and hits among near-duplicates; the kept prompts themselves are the control."""
    asked = list(dict.fromkeys(p.text for p in ground.lab.asked("many")))
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder) / "answers.sqlite", note=ground.say)
        miss = _seconds(ground, asked[0], cache)
        hits = [_seconds(ground, asked[0], cache) for _ in range(ground.sizes.hits)]
        use = cache.use()
        for text in asked:
            cache.put(_key(ground, text), {"prompt": text})
        found = sum(cache.get(_key(ground, text)) == {"prompt": text} for text in asked)
        near = near_duplicates(asked, ground.sizes.near, random.Random(0))
        wrong = sum(cache.get(_key(ground, text)) is not None for text in near)
        cache.close()
    seconds = float(np.median(hits))
    return {
        "hits": use.hits,
        "seconds_of_a_miss": miss,
        "seconds_of_a_hit": {"median": seconds, "99th": float(np.quantile(hits, 0.99))},
        "near_duplicates": len(near),
        "wrong_hits": wrong,
        "kept_prompts": len(asked),
        "kept_prompts_that_hit": found,
        "figures": {"cache_hit_seconds": seconds, "cache_wrong_hits": float(wrong)},
    }


def near_duplicates(texts: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Texts that differ from those given by a word, a letter, or white space alone; none twice, none given."""
    known, made = set(texts), list[str]()
    while len(made) < count:
        text = rng.choice(texts)
        for _ in range(rng.randint(1, 2)):
            text = _edited(text, rng)
        if text not in known:
            known.add(text)
            made.append(text)
    return made


def _edited(text: str, rng: random.Random) -> str:
    words, at = text.split(" "), rng.randrange(len(text) + 1)
    place = rng.randrange(len(words))
    match rng.randrange(6):
        case 0:  # the opposite meaning is one word away
            return " ".join([*words[:place], rng.choice(WORDS), *words[place:]])
        case 1:
            return " ".join([*words[:place], *words[place + 1 :]]) or text
        case 2:
            return text[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") + text[at:]
        case 3:
            return text[:at] + text[at:].swapcase()
        case 4:
            return text[:at] + rng.choice([" ", "\n", "\t", "\u00a0", "\u200b"]) + text[at:]
        case _:
            return text[: max(0, at - 1)] + text[at:]


def _key(ground: Ground, text: str) -> str:
    sampling = ground.lab.recipe.sampling
    prompt = Prompt("asked", text, "asked")
    return Task(ground.policy, prompt, ground.judge, sampling, row_seeds(0, N), None, None, CHUNK, None).key()


def _seconds(ground: Ground, text: str, cache: Cache) -> float:
    began = time.perf_counter()
    best_of(ground.policy, text, ground.judge, n=N, cache=cache)
    return time.perf_counter() - began
