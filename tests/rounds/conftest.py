"""Records of rounds as they are stored, written by hand."""

from __future__ import annotations

from typing import Any

import pytest


def within(value: float, half: float = 0.1) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def made_record(number: int, **changes: Any) -> dict[str, Any]:
    """Two objectives; ``kind`` has gold, ``short`` is known to those who label alone."""

    def point(id: str, kind: str, kl: float, proxy: float, gold: float, selected: bool) -> dict[str, Any]:
        return {
            "id": id,
            "kind": kind,
            "kl": kl,
            "weights": None if kind == "base" else {"kind": 1.0, "short": 0.0},
            "proxy": {"kind": proxy, "short": 0.5 * proxy},
            "gold": {"kind": gold, "short": None},
            "gold_se": {"kind": 0.1, "short": None},
            "selected": selected,
            "on_front": selected,
        }

    reward = {
        "folder": f"rewards/kind/round-{number}",
        "members": 3,
        "dropped": [],
        "accuracy": within(0.7),
        "gold_accuracy": within(0.75),
        "ece": 0.04,
    }
    return {
        "schema": 1,
        "round": number,
        "run": f"trial-round-{number}",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T01:00:00+00:00",
        "annotator": "gold",
        "cost": 0.0,
        "went_in": {
            "policies": ["base"],
            "rollouts": 40,
            "labels": {"kind": 20, "short": 20},
            "labels_total": {"kind": 20 * number, "short": 20 * number},
        },
        "rewards": {"kind": reward, "short": reward | {"gold_accuracy": None}},
        "front": [
            point("base", "base", 0.0, 0.0, 0.0, False),
            point("expert-kind", "expert", 0.4, 1.9, 0.2, True),
            point("soup-0", "soup", 0.2, 0.9, 0.1, True),
        ],
        "hypervolume": within(1.2),
        "gain": None if number == 1 else within(0.2),
        "gap": {"mean": within(1.25), "by_objective": {"kind": within(1.25), "short": None}},
        "spread": {
            "kind": {"share": 0.3, "expected": 0.1, "p": 0.001, "fires": True},
            "short": {"share": 0.1, "expected": 0.1, "p": 0.5, "fires": False},
        },
        "review": 4,
        "flags": [],
        "seconds": {"sweep": 10.0},
        "stop": None,
        **changes,
    }


@pytest.fixture
def record() -> Any:
    """Makes one: ``record(number, key=value, …)``."""
    return made_record


@pytest.fixture
def interval() -> Any:
    """Makes one: ``interval(value, half)``."""
    return within
