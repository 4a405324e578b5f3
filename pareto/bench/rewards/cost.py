"""What several members cost beside one: training and scoring, features included, in turn and from nothing each time."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from pareto.bench.rewards.best_of import MIXED, kinds, single
from pareto.bench.rewards.lab import Lab
from pareto.config import Ensemble as Settings
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.objectives.ensemble.feature_cache import forget
from pareto.records import Pair

PAIRS, SCORED, REPEATS = 320, 128, 5
T = TypeVar("T")


def cost(lab: Lab, settings: Settings, repeats: int = REPEATS) -> dict[str, Any]:
    """Seconds of one member, of several of its kind and of several kinds, and ratios to the one: medians of pairs."""
    train, many = lab.pool("train"), lab.pool("many")[:SCORED]
    pairs = lab.label(train, lab.draw_pairs(train, PAIRS, 0), lab.gold(train), 0.25, 0)
    prompts, texts = [lab.text(r) for r in many], [r.text for r in many]
    kind = kinds(settings)[0]
    ways = {"one": single(settings, kind), "several": settings.model_copy(update={"head": kind}), MIXED: settings}
    trained: dict[str, list[float]] = {name: [] for name in ways}
    scored: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as scratch:
        warm = replace(lab, folder=Path(scratch) / "warm")
        warm.train(pairs[:60], settings, 0)  # models are loaded once per process
        for k in range(repeats):
            # Whoever comes first pays for a cold processor: in turn.
            for name in sorted(ways, reverse=bool(k % 2)):
                here = Path(scratch) / "one"
                seconds, ensemble = _trained(replace(lab, folder=here), pairs, ways[name])
                trained[name].append(seconds)
                scored[name].append(_scored(ensemble, prompts, texts))
                shutil.rmtree(here)
            lab.say(f"cost: {k + 1} of {repeats}")
    return {
        "members": settings.members,
        "kind": kind,
        "train_seconds": {name: median(s) for name, s in trained.items()},
        "score_seconds": {name: median(s) for name, s in scored.items()},
        "train_ratio": {name: _ratio(s, trained["one"]) for name, s in trained.items()},
        "score_ratio": {name: _ratio(s, scored["one"]) for name, s in scored.items()},
    }


def _trained(lab: Lab, pairs: Sequence[Pair], settings: Settings) -> tuple[float, Ensemble]:
    forget()
    return _timed(lambda: lab.train(pairs, settings, 0))


def _scored(ensemble: Ensemble, prompts: Sequence[str], texts: Sequence[str]) -> float:
    forget()
    apart = Ensemble.open(ensemble.path)
    return _timed(lambda: apart.score(prompts, texts))[0]


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


def _ratio(of: Sequence[float], to: Sequence[float]) -> float:
    return median(a / b for a, b in zip(of, to, strict=True))
