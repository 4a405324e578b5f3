"""Best-of-n by one reward model and by ensembles that learnt from the same labels, a quarter of them wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from pareto.bench.rewards.lab import SAMPLES, Floats, Lab
from pareto.config import Aggregation
from pareto.config import Ensemble as Settings
from pareto.objectives.ensemble.overoptimisation import Curve, best_of_n
from pareto.objectives.ensemble.scores import aggregate
from pareto.records import Rollout

COUNTS = (1, 2, 4, 8, 16, 32, 64)
"""Of completions that one is selected from."""
WAYS: tuple[Aggregation, ...] = get_args(Aggregation)
"""How five members select."""


def best_of(
    lab: Lab,
    liked: Callable[[Sequence[Rollout], Floats], Floats],
    labels: int,
    noise: float,
    settings: Settings,
    seeds: Sequence[int],
) -> dict[str, list[Curve]]:
    """A curve for each seed of the labels, by who selects: ``single`` and those of ``WAYS``.

    Args:
        lab: the ground.
        liked: what annotators like, of completions and their gold.
        labels: comparisons learnt from.
        noise: chance of a wrong one.
        settings: of the ensemble; the single model is the same without resampling of its labels.
        seeds: of labels and members.
    """
    train, many = lab.pool("train"), lab.pool("many")
    gold = lab.gold(many).reshape(-1, SAMPLES["many"])
    alone = settings.model_copy(update={"members": 1, "bootstrap": False})
    curves: dict[str, list[Curve]] = {}
    for seed in seeds:
        pairs = lab.label(train, lab.draw_pairs(train, labels, seed), liked(train, lab.gold(train)), noise, seed)
        single = lab.score(lab.train(pairs, alone, seed), many)[:, 0]
        members = lab.score(lab.train(pairs, settings, seed), many)
        proxies: dict[str, Floats] = {"single": single} | {way: aggregate(members, way) for way in WAYS}
        for name, proxy in proxies.items():
            curves.setdefault(name, []).append(best_of_n(proxy.reshape(gold.shape), gold, COUNTS))
    return curves


def rows(curves: Mapping[str, Sequence[Curve]]) -> list[dict[str, Any]]:
    """A row for each way to select and n: KL, gold and proxy, means over prompts and seeds."""
    return [
        {
            "selected_by": name,
            "n": n,
            "kl": float(of[0].kl[k]),
            "gold": float(np.mean([c.gold[:, k].mean() for c in of])),
            "gold_se": _se(np.mean([c.gold[:, k] for c in of], axis=0)),
            "proxy": float(np.mean([c.proxy[:, k].mean() for c in of])),
        }
        for name, of in curves.items()
        for k, n in enumerate(of[0].n)
    ]


def _se(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
