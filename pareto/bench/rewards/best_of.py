"""Best-of-n by one reward model, by five of its kind, and by five of several kinds, from the same noisy labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pareto.bench.rewards.lab import SAMPLES, Floats, Lab
from pareto.config import Aggregation, Head
from pareto.config import Ensemble as Settings
from pareto.objectives.ensemble.overoptimisation import Curve, best_of_n
from pareto.objectives.ensemble.scores import aggregate
from pareto.records import Rollout

COUNTS = (1, 2, 4, 8, 16, 32, 64)
"""Of completions that one is selected from."""
WAYS: tuple[Aggregation, ...] = ("mean", "min", "lcb")
"""How five members select."""
MIXED = "mixed"
"""Five members of the recipe's kinds in turn."""
Selected = tuple[str, str]
"""Kind of head or ``MIXED``; ``single`` or one of ``WAYS``."""


def best_of(
    lab: Lab,
    liked: Callable[[Sequence[Rollout], Floats], Floats],
    labels: int,
    noise: float,
    settings: Settings,
    seeds: Sequence[int],
) -> dict[Selected, list[Curve]]:
    """A curve for each seed of the labels, by who selects.

    Args:
        lab: the ground.
        liked: what annotators like, of completions and their gold.
        labels: comparisons learnt from.
        noise: chance of a wrong one.
        settings: of the mixed ensemble; the others are the same with one kind of head, and single models without
            resampling of their labels.
        seeds: of labels and members.
    """
    train, many = lab.pool("train"), lab.pool("many")
    gold = lab.gold(many).reshape(-1, SAMPLES["many"])
    curves: dict[Selected, list[Curve]] = {}

    def select(who: Selected, proxy: Floats) -> None:
        curves.setdefault(who, []).append(best_of_n(proxy.reshape(gold.shape), gold, COUNTS))

    for seed in seeds:
        lab.say(f"best of n: seed {seed}")
        pairs = lab.label(train, lab.draw_pairs(train, labels, seed), liked(train, lab.gold(train)), noise, seed)
        for kind in kinds(settings):
            select((kind, "single"), lab.score(lab.train(pairs, single(settings, kind), seed), many)[:, 0])
        sets = [(str(kind), settings.model_copy(update={"head": kind})) for kind in kinds(settings)]
        for name, of in [*sets, (MIXED, settings)]:
            members = lab.score(lab.train(pairs, of, seed), many)
            for way in WAYS:
                select((name, way), aggregate(members, way, settings.k))
    return curves


def kinds(settings: Settings) -> list[Head]:
    """The kinds of head among its members."""
    return list(dict.fromkeys([settings.head] if isinstance(settings.head, str) else settings.head))


def single(settings: Settings, kind: Head) -> Settings:
    """One model of a kind, taught on all labels."""
    return settings.model_copy(update={"head": kind, "members": 1, "bootstrap": False})


def rows(curves: Mapping[Selected, Sequence[Curve]]) -> list[dict[str, Any]]:
    """A row for each way to select and n: KL, gold and proxy, means over prompts and seeds."""
    return [
        {
            "head": head,
            "selected_by": name,
            "n": n,
            "kl": float(of[0].kl[k]),
            "gold": float(np.mean([c.gold[:, k].mean() for c in of])),
            "gold_se": _se(np.mean([c.gold[:, k] for c in of], axis=0)),
            "proxy": float(np.mean([c.proxy[:, k].mean() for c in of])),
        }
        for (head, name), of in curves.items()
        for k, n in enumerate(of[0].n)
    ]


def _se(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
