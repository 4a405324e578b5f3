"""What is known of the steps of an answer: from the run's process reward model, else from arithmetic by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pareto.objectives.load import Reward
from pareto.objectives.process.arithmetic import check_step
from pareto.objectives.process.reward import ProcessReward
from pareto.objectives.process.steps import split_steps


@dataclass(frozen=True)
class Verdict:
    """What is known of one step."""

    start: int
    """Of its first character in the answer."""
    end: int
    right: bool | None
    """``None``: there is nothing in it that can be checked."""
    chance: float | None = None
    """The model's probability that it is right; ``None``: computed, not estimated."""


def verdicts(prompt: str, answers: Sequence[str], rewards: Sequence[Reward]) -> list[tuple[Verdict, ...]]:
    """Of the steps of n answers to a prompt, in their order; empty where nothing in an answer can be checked.

    Args:
        prompt: what was asked.
        answers: n texts.
        rewards: the run's; the first process reward model among them decides.

    Raises:
        ParetoError: that model cannot be loaded.
    """
    functions: list[object] = [reward.function for reward in rewards]
    process = next((f for f in functions if isinstance(f, ProcessReward)), None)
    if process is None:
        return [_by_rule(answer) for answer in answers]
    model = process.model
    scored = model.score([prompt] * len(answers), list(answers))
    return [
        tuple(
            Verdict(step.start, step.end, chance >= model.threshold, chance)
            for step, chance in zip(split_steps(answer), chances, strict=True)
        )
        for answer, chances in zip(answers, scored, strict=True)
    ]


def _by_rule(answer: str) -> tuple[Verdict, ...]:
    found = tuple(Verdict(step.start, step.end, check_step(step.text)) for step in split_steps(answer))
    return found if any(v.right is not None for v in found) else ()
