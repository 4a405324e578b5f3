from __future__ import annotations

import pytest

from pareto.config import Objective
from pareto.errors import ParetoError
from pareto.objectives.load import load_reward
from pareto.objectives.process.reward import steps_right

TEXTS = ["1 + 1 = 2\n2 + 2 = 5\nAnswer: 5", "1 + 1 = 2\n2 + 2 = 4\nAnswer: 4", "Hello."]


def scored(how: str | None, answers: tuple[str, ...] = ("4",)) -> list[float | None]:
    reward = load_reward(Objective(name="x", reward="steps_right", options={"how": how} if how else {}))
    assert (reward.sign, reward.range) == (1, (0, 1))
    return reward.function(prompts=["?"] * 3, completions=TEXTS, answers=[answers] * 3, max_new_tokens=9)


def test_the_share_of_right_steps() -> None:
    assert scored(None) == [0.5, 1.0, 0.0]
    assert scored("min") == [0.0, 1.0, 0.0]
    assert scored("last") == [0.0, 1.0, 0.0]


def test_it_does_not_apply_where_nothing_is_asked_for_or_computed() -> None:
    assert scored(None, ()) == [0.5, 1.0, None]


def test_an_unknown_way_to_aggregate_is_refused() -> None:
    with pytest.raises(ParetoError, match="did you mean 'min'"):
        steps_right(["?"], ["x"], answers=[()], how="mim")  # type: ignore[arg-type]
