"""A run and its traffic as *Monitor* finds them: an ensemble that doubts, two arms, and drift from a given request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from traffic_on_disk import empty_run, pair, scored, served, thumb

from pareto.records import Prompt
from pareto.store.files import folder, write_json
from pareto.store.run import Run
from pareto.store.tables import write_prompts
from pareto.traffic.log import TrafficLog
from pareto.traffic.usual import usual_prompts

EVIL = "<img src=x onerror=alert(1)>"
N, PLANT = 500, 400
"""Requests, and the first of those that differ."""
BEGUN = 1_790_000_000.0
"""Time of the first."""


def monitored(root: Path, name: str = "beta") -> Run:
    """A run with prompts, and an ensemble for its first objective.

    Args:
        root: folder of runs.
        name: of the run.
    """
    recipe = empty_run(root.parent / f"made-{name}").recipe
    doubtful = recipe.objectives[0].model_copy(update={"reward": "ensemble:doubtful", "options": {}})
    run = Run.create(root, recipe.model_copy(update={"objectives": (doubtful, *recipe.objectives[1:]), "name": name}))
    _ensemble(run.path / "doubtful")
    prompts = [Prompt(f"p{k}", f"Say {k}.", "kind", split="train" if k < 60 else "test") for k in range(260)]
    write_prompts(run.path / "prompts.parquet", prompts)
    usual_prompts(run, embed)
    return run


def embed(texts: Sequence[str], seed: int = 0) -> np.ndarray:
    """Features around one direction, as an encoder's of prompts of one kind."""
    found = np.eye(16)[0] + 0.2 * np.random.default_rng(seed).standard_normal((len(texts), 16))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def traffic_of(run: Run, n: int = N, plant: int = PLANT, store: bool = True, candidate: bool = True) -> None:
    """Log it.

    Args:
        run: whose.
        n: requests, one a minute, by a hundred users.
        plant: from here on prompts are others, and the ensemble doubts more.
        store: the texts, each with markup that must not become any.
        candidate: whether it serves every fourth user; its rewards of digits are then better.
    """
    rng = np.random.default_rng(1)
    usual, other = embed(["x"] * n, 1), np.roll(embed(["x"] * n, 2), 1, axis=1)
    with TrafficLog.open(run, create=True) as log:
        for k in range(n):
            late, second = k >= plant, candidate and k % 4 == 0
            text = f"{EVIL} {k}" if store else None
            arm, user, vector = "candidate" if second else "main", f"u{k % 100}", (other if late else usual)[k]
            when = BEGUN + 60 * k
            log.add(served(f"r{k}", time=when, arm=arm, user=user, prompt=text, answer=text, features=vector))
            spread = float(rng.random() + 0.5 * late)
            scores = {"vowels": float(rng.standard_normal()), "digits": float(rng.standard_normal() + 3 * second)}
            doubts = {"spreads": {"vowels": spread}, "flagged": ("vowels",) if spread > 0.95 else ()}
            log.add_score(scored(f"r{k}", scores=scores, predicted=dict.fromkeys(scores, 0.0), **doubts))
            if not k % 1000:
                log.flush()
        log.flush()
        log.add_feedback(thumb("t", "r3"))
        log.add_feedback(pair("p", "r4", "r5") if not store else thumb("t2", "r4", -1.0))


def _ensemble(path: Path) -> None:
    """As ``pareto reward train`` seals one, as far as *Monitor* reads it."""
    calibration = {
        "centre": [0, 0], "scale": [1, 1], "lapse": 0, "slope": 1, "error_model": None, "error_auc": [0.5, 0.5],
        "spread_threshold": 0.95, "uncertainty_threshold": 0.4, "spread_quantiles": np.linspace(0, 1, 101).tolist(),
        "review_rate": 0.05, "n": 200,
    }  # fmt: skip
    with folder(path) as made:
        write_json(made / "ensemble.json", {"schema": 1, "calibration": calibration, "members": [{}, {}]})
