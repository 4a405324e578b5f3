"""A run on disk whose policies are worth what a formula says: two objectives, experts, soups and a trained policy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pareto.config import Recipe
from pareto.front.frame import Frame
from pareto.records import Point, Prompt, Split
from pareto.store.files import write_json
from pareto.store.points import save_point
from pareto.store.run import Run
from pareto.store.tables import write_prompts, write_scores

NAMES = ("kind", "words")
"""More of the first, less of the second."""
KIND, TERSE = "expert-kind", "expert-words"
PROMPTS = 40
SOUPS = {
    "soup-even": ({"kind": 0.5, "words": 0.5}, {KIND: 1.0, TERSE: 1.0}),
    "soup-kinder": ({"kind": 0.75, "words": 0.25}, {KIND: 1.0, TERSE: 1 / 3}),
    "soup-weak": (None, {KIND: 0.3, TERSE: 0.2}),
    "soup-terser": ({"kind": 0.25, "words": 0.75}, {KIND: 1 / 3, TERSE: 1.0}),
}


def truth(coefficients: Mapping[str, float]) -> tuple[float, float]:
    """What a policy is worth: kindness in [0, 1], and words."""
    kind, terse = coefficients.get(KIND, 0.0), coefficients.get(TERSE, 0.0)
    return 0.5 + 0.3 * kind - 0.2 * terse + 0.05 * kind * terse, 20 - 9 * terse + 2 * kind


def make(root: Path, priorities: str = "", spread: float = 0.02, **recipe: Any) -> Run:
    """A run under priorities, with scores that spread so much (and ten times as many words) about the truth.

    Its adapters are names only. ``recipe``: what is to be otherwise in it.
    """
    from pareto.choice.levels import parse_levels

    made = Recipe.model_validate(
        {
            "name": "made",
            "model": {"base": "tiny-random", "dtype": "float32", "device": "cpu"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [
                {"name": "kind", "reward": "sweeps.rewards:vowels", "range": [0, 1]},
                {"name": "words", "reward": "length", "direction": "minimize", "range": [0, 40]},
            ],
            "sampling": {"max_new_tokens": 12},
            "priorities": [level.model_dump(mode="json") for level in parse_levels(priorities, NAMES)],
        }
        | recipe
    )
    run = Run.create(root, made)
    write_json(run.path / "frame.json", Frame(NAMES, (1.0, -1.0), (0.5, 20.0), (0.2, 5.0), (-2.0, -2.0)).to_json())
    prompts = [
        Prompt(f"{split}-{k}", f"{split} prompt {k}", "sums", split=split)
        for split in ("validation", "test")
        for k in range(PROMPTS)
    ]
    write_prompts(run.path / "prompts.parquet", prompts)
    _put(run, "base", "base", None, {}, spread)
    _put(run, KIND, "expert", {"kind": 1.0, "words": 0.0}, {KIND: 1.0}, spread)
    _put(run, TERSE, "expert", {"kind": 0.0, "words": 1.0}, {TERSE: 1.0}, spread)
    for id, (weights, coefficients) in SOUPS.items():
        _put(run, id, "soup", weights, coefficients, spread)
    return run


def _put(
    run: Run, id: str, kind: str, weights: dict[str, float] | None, coefficients: dict[str, float], spread: float
) -> None:
    adapters = {name: hashlib.sha256(name.encode()).hexdigest()[:16] for name in coefficients}
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        # The same on every prompt of a pair, so that the mean is the truth.
        noise = np.tile([spread, -spread], PROMPTS // 2)
        worth = truth(coefficients)
        columns = {"kind": worth[0] + noise, "words": worth[1] - 10 * noise}
        key = hashlib.sha256(f"{id}{split}".encode()).hexdigest()[:16]
        ids = [f"{split}-{k}" for k in range(PROMPTS)]
        write_scores(run.scores / f"{key}.parquet", ids, [0] * PROMPTS, columns)
        se = {name: float(values.std(ddof=1)) / PROMPTS**0.5 for name, values in columns.items()}
        n = dict.fromkeys(NAMES, PROMPTS)
        mean = dict(zip(NAMES, worth, strict=True))
        kl = 0.05 * sum(value**2 for value in coefficients.values())
        save_point(run, Point(id, kind, split, weights, coefficients, adapters, mean, se, n, {}, kl, key))  # type: ignore[arg-type]
