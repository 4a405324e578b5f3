"""Runs on disk whose policies suit some types of prompts and not others, and features that tell the types apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pareto.config import Recipe
from pareto.front.frame import Frame
from pareto.records import Point, Prompt, Split
from pareto.simplex import das_dennis
from pareto.store.files import write_json
from pareto.store.points import save_point
from pareto.store.run import Run
from pareto.store.tables import write_prompts, write_scores

NAMES = ("kind", "short", "warm")
TYPES = ("greetings", "recipes", "sums")
UTILITY = "greetings:warm=1;recipes:short=.2,kind=.8;sums:short=1"
CENTRE, SCALE = (0.5, 10.0, 0.0), (0.25, 4.0, 1.0)
LINES = {
    "greetings": "Hello {0}, feeling {1}?",
    "recipes": "How to bake {0} with {1}?",
    "sums": "What is {0} plus {1}?",
}
WORDS = ["ash", "bay", "cod", "dill", "egg", "fig", "gin", "ham", "ice", "jam", "kale", "lime"]
POLICIES = das_dennis(3, 2)


def make(root: Path, effect: float = 1.5, noise: float = 0.5, each: int = 20, seed: int = 0) -> Run:
    """A run with six policies, the base, and so many prompts of each type on validation and on test.

    A policy's objective lies ``effect`` · √weight above the base, in base standard deviations, and ``noise`` about it.
    """
    recipe = Recipe.model_validate(
        {
            "name": "prompted",
            "model": {"base": "tiny-random", "dtype": "float32", "device": "cpu"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [
                {"name": "kind", "reward": "harmless"},
                {"name": "short", "reward": "concise"},
                {"name": "warm", "reward": "positive"},
            ],
        }
    )
    run = Run.create(root, recipe)
    rng = np.random.default_rng(seed)
    prompts = [_prompt(kind, k, split) for split in ("validation", "test") for kind in TYPES for k in range(each)]
    write_prompts(run.path / "prompts.parquet", prompts)
    frame = Frame(NAMES, (1.0, 1.0, 1.0), CENTRE, SCALE, (-1.0,) * 3)
    write_json(run.path / "frame.json", frame.to_json())
    for split in ("validation", "test"):
        ids = [p.id for p in prompts if p.split == split]
        for name, weights in [("base", None), *((f"soup-{i}", w) for i, w in enumerate(POLICIES))]:
            gain = np.zeros(3) if weights is None else effect * np.sqrt(weights)
            z = gain + noise * rng.standard_normal((len(ids), 3))
            put(run, name, weights, split, ids, np.array(CENTRE) + np.array(SCALE) * z)
    return run


def put(run: Run, name: str, weights: np.ndarray | None, split: Split, ids: Sequence[str], raw: np.ndarray) -> None:
    """A measured point with its table; scores in own units, (n, 3)."""
    key = hashlib.sha256(f"{name}{split}".encode()).hexdigest()[:16]
    write_scores(run.scores / f"{key}.parquet", ids, [0] * len(ids), dict(zip(NAMES, raw.T, strict=True)))
    mean = dict(zip(NAMES, np.nanmean(raw, axis=0).tolist(), strict=True))
    named = None if weights is None else dict(zip(NAMES, map(float, weights), strict=True))
    save_point(
        run,
        Point(
            name, "base" if weights is None else "soup", split, named, named or {}, {}, mean, dict.fromkeys(NAMES, 0.1),
            dict.fromkeys(NAMES, len(ids)), {}, 0.1, key,
        ),
    )  # fmt: skip


def embed(texts: Sequence[str]) -> np.ndarray:
    """Features that only tell the type, (n, 12); what is of no type lies elsewhere."""
    out = np.zeros((len(texts), 12))
    for row, text in zip(out, texts, strict=True):
        rng = np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))
        kinds = [i for i, line in enumerate(LINES.values()) if text.startswith(line.split("{")[0])]
        row[kinds[0] if kinds else 3] = 2.0
        row[4:] = rng.standard_normal(8) / 4
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def _prompt(kind: str, k: int, split: Split) -> Prompt:
    number = k if split == "validation" else k + 60
    words = (WORDS[number % 12], WORDS[(number // 12 + number) % 12])
    text = LINES[kind].format(*(words if kind != "sums" else (number + 12, 3 * number)))
    return Prompt(f"{kind}-{split}-{k}", text, kind, split=split)
