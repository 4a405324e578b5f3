"""Best-of-n by one reward model and by five of its kind that learnt from the same labels, a quarter of them wrong.

A quarter of the candidates is sampled hotter than anything that was labelled: what a selection under pressure meets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from pareto.bench.rewards.lab import SAMPLES, Floats, Lab, Role
from pareto.config import Aggregation, Head
from pareto.config import Ensemble as Settings
from pareto.errors import ParetoError
from pareto.objectives.ensemble.overoptimisation import Curve, best_of_n
from pareto.objectives.ensemble.scores import aggregate
from pareto.records import Rollout

COUNTS = (1, 2, 4, 8, 16, 32, 64)
"""Of completions that one is selected from."""
WAYS: tuple[Aggregation, ...] = get_args(Aggregation)
"""How five members select."""
CANDIDATES: tuple[Role, ...] = ("many", "hot")


def best_of(
    lab: Lab,
    liked: Callable[[Sequence[Rollout], Floats], Floats],
    labels: int,
    noise: float,
    settings: Settings,
    seeds: Sequence[int],
) -> dict[tuple[Head, str], list[Curve]]:
    """A curve for each seed of the labels, by kind of head and who selects: ``single`` and those of ``WAYS``.

    Args:
        lab: the ground.
        liked: what annotators like, of completions and their gold.
        labels: comparisons learnt from.
        noise: chance of a wrong one.
        settings: of the ensembles, each of one of its kinds of head; the single model is the same without resampling
            of its labels. Where it is refused on some seed (wrong about most held-out labels), that seed is left out.
        seeds: of labels and members.
    """
    train, candidates = lab.pool("train"), [r for role in CANDIDATES for r in lab.pool(role)]
    gold = _by_prompt(lab.gold(candidates))
    curves: dict[tuple[Head, str], list[Curve]] = {}
    for seed in seeds:
        pairs = lab.label(train, lab.draw_pairs(train, labels, seed), liked(train, lab.gold(train)), noise, seed)
        for kind in kinds(settings):
            lab.say(f"best of n by {kind} heads: seed {seed}")
            several = settings.model_copy(update={"head": kind})
            alone = several.model_copy(update={"members": 1, "bootstrap": False})
            try:
                single = lab.score(lab.train(pairs, alone, seed), candidates)[:, 0]
                members = lab.score(lab.train(pairs, several, seed), candidates)
            except ParetoError as e:
                lab.say(f"left out: {e}")
                continue
            proxies: dict[str, Floats] = {"single": single} | {way: aggregate(members, way, settings.k) for way in WAYS}
            for name, proxy in proxies.items():
                curves.setdefault((kind, name), []).append(best_of_n(_by_prompt(proxy), gold, COUNTS))
    return curves


def kinds(settings: Settings) -> list[Head]:
    """The kinds of head among its members."""
    return list(dict.fromkeys([settings.head] if isinstance(settings.head, str) else settings.head))


def _by_prompt(values: Floats) -> Floats:
    """(prompts, candidates) of the pools' values one after the other."""
    start, parts = 0, []
    prompts = len(values) // sum(SAMPLES[role] for role in CANDIDATES)
    for role in CANDIDATES:
        end = start + prompts * SAMPLES[role]
        parts.append(values[start:end].reshape(prompts, -1))
        start = end
    return np.concatenate(parts, axis=1)


def rows(curves: Mapping[tuple[Head, str], Sequence[Curve]]) -> list[dict[str, Any]]:
    """A row for each kind of head, way to select and n: KL, gold and proxy, means over prompts and seeds."""
    return [
        {
            "head": head,
            "selected_by": name,
            "n": n,
            "kl": float(of[0].kl[k]),
            "gold": float(np.mean([c.gold[:, k].mean() for c in of])),
            "gold_se": _se(np.mean([c.gold[:, k] for c in of], axis=0)),
            "proxy": float(np.mean([c.proxy[:, k].mean() for c in of])),
            "seeds": len(of),
        }
        for (head, name), of in curves.items()
        for k, n in enumerate(of[0].n)
    ]


def _se(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
