"""Served traffic, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pareto.recipe_file import read_recipe
from pareto.store.run import Run
from pareto.traffic.log import TrafficLog
from pareto.traffic.records import Feedback, ScoredAnswer, Served


def served(id: str, **changes: Any) -> Served:
    made = {
        "id": id,
        "time": 1000.0,
        "model": "smoke@balanced",
        "arm": "main",
        "user": "",
        "weights": {"vowels": 0.5, "digits": 0.5},
        "coefficients": {"expert-vowels": 1.0, "expert-digits": -0.5},
        "point": "soup-0",
        "moved": "",
        "prompt_tokens": 7,
        "tokens": 12,
        "n": 1,
        "finish": "stop",
        "queued": 0.01,
        "first_token": 0.2,
        "seconds": 1.5,
        "status": 200,
        "prompt": None,
        "answer": None,
    }
    return Served(**made | changes)


def scored(id: str, **changes: Any) -> ScoredAnswer:
    made: dict[str, Any] = {"time": 1001.0, "scores": {"vowels": 0.5}, "spreads": {}, "flagged": (), "predicted": {}}
    return ScoredAnswer(id, **made | changes)


def thumb(id: str, of: str, value: float = 1.0, **changes: Any) -> Feedback:
    return Feedback(id, changes.pop("time", 1002.0), of, "thumb", value, **changes)


def pair(id: str, better: str, worse: str, value: float = 1.0, **changes: Any) -> Feedback:
    return Feedback(id, changes.pop("time", 1002.0), better, "pair", value, worse, **changes)


def empty_run(root: Path, name: str = "smoke") -> Run:
    """A run of the smoke recipe in which nothing was done."""
    return Run.create(root, read_recipe("sweeps/smoke.yaml").model_copy(update={"name": name}))


def begun(root: Path, *requests: Served) -> TrafficLog:
    """A log in such a run."""
    log = TrafficLog.open(empty_run(root), create=True)
    for request in requests:
        assert log.add(request)
    return log
