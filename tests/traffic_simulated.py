"""Served traffic as columns, without a log: what is not said is as in uneventful traffic."""

from __future__ import annotations

from typing import Any

import numpy as np

from pareto.traffic.frame import Frame


def frame(n: int, **changed: Any) -> Frame:
    """n requests, one a second, each by a user of its own, none of them scored."""
    made: dict[str, Any] = {
        "id": [f"r{k}" for k in range(n)],
        "time": 1_700_000_000.0 + np.arange(n),
        "arm": np.full(n, "main"),
        "user": np.array([f"u{k}" for k in range(n)], dtype=np.str_),
        "model": np.full(n, "assistant"),
        "status": np.full(n, 200),
        "finish": np.full(n, "stop"),
        "prompt_tokens": np.full(n, 9),
        "tokens": np.full(n, 30),
        "answers": np.ones(n, dtype=np.int64),
        "queued": np.zeros(n),
        "first_token": np.full(n, 0.2),
        "seconds": np.full(n, 1.0),
        "weights": {},
        "scored": np.zeros(n, dtype=bool),
        "scored_at": np.full(n, np.nan),
        "scores": {},
        "spreads": {},
        "predicted": {},
        "flagged": {},
        "thumbs": np.full(n, np.nan),
        "wins": np.full(n, np.nan),
        "featured": np.empty(0, dtype=np.int64),
        "features": np.empty((0, 0), dtype=np.float32),
    }
    made |= changed
    made.setdefault("rated", np.isfinite(made["thumbs"]).astype(np.int64))
    return Frame(**made)


def arms(n: int, share: float = 0.2) -> np.ndarray:
    """So many requests, a share of them by the candidate."""
    return np.where(np.arange(n) < share * n, "candidate", "main")
