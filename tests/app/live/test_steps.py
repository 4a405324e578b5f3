"""What is known of an answer's steps: by rule, or by the run's process reward model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from app.live.steps import verdicts
from pareto.objectives.load import Reward
from pareto.objectives.process.reward import ProcessReward

WORKED = "12 + 7 = 19\nSo far so good.\n19 - 4 = 16\nAnswer: 16"


def test_arithmetic_is_checked_where_it_stands() -> None:
    (found,) = verdicts("Compute.", [WORKED], [])
    assert [(WORKED[v.start : v.end], v.right) for v in found] == [
        ("12 + 7 = 19", True),
        ("So far so good.", None),
        ("19 - 4 = 16", False),
        ("Answer: 16", None),
    ]
    assert all(v.chance is None for v in found)


def test_an_answer_without_a_step_that_can_be_checked_has_no_marks() -> None:
    assert verdicts("Hello", ["Hi.\nHow are you?", ""], []) == [(), ()]


def test_a_process_model_decides_by_its_own_threshold(tmp_path: Path) -> None:
    asked: list[Any] = []

    def score(prompts: list[str], completions: list[str]) -> list[tuple[float, ...]]:
        asked.append((prompts, completions))
        return [(0.9, 0.35, 0.3, 0.1), ()]

    process = ProcessReward.__new__(ProcessReward)
    process.model = SimpleNamespace(score=score, threshold=0.33)  # type: ignore[assignment]
    first, second = verdicts("Compute.", [WORKED, ""], [Reward("steps", 1, (0.0, 1.0), process)])
    assert [(v.right, v.chance) for v in first] == [(True, 0.9), (True, 0.35), (False, 0.3), (False, 0.1)]
    assert second == ()
    assert asked == [(["Compute."] * 2, [WORKED, ""])]
