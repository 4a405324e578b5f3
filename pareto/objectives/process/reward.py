"""Process rewards as objectives of a sweep: ``steps_right`` by rule, ``process:<folder>`` by a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pareto.objectives.messages import Text, plain
from pareto.objectives.process.aggregate import How, aggregate_steps, check_how
from pareto.objectives.process.arithmetic import check_step
from pareto.objectives.process.steps import split_steps


def steps_right(
    prompts: Sequence[Text],
    completions: Sequence[Text],
    *,
    answers: Sequence[Sequence[str]],
    how: How = "mean",
    **columns: Any,
) -> list[float | None]:
    """The share (``mean``) of a completion's computed steps that are right, or whether all (``min``) or the last are.

    A completion that computes nothing gets 0 where the prompt has an accepted answer, or babble would pay as much as a
    right calculation; elsewhere ``None``.

    Args:
        prompts: only counted.
        completions: the replies.
        answers: accepted answers of each prompt; empty where there are none.
        how: see ``aggregate_steps``.
        columns: not looked at.

    Raises:
        ParetoError: no such ``how``.
    """
    how = check_how(how)
    scores: list[float | None] = []
    for completion, accepted in zip(completions, answers, strict=True):
        checked = [check_step(step.text) for step in split_steps(plain(completion))]
        values = [float(right) for right in checked if right is not None]
        scores.append(aggregate_steps(values, how) if values else 0.0 if accepted else None)
    return scores


class ProcessReward:
    """TRL's signature: one aggregated probability per completion; 0 for one without a step."""

    range = (0.0, 1.0)

    def __init__(self, path: Path, how: How | None = None) -> None:
        """Open the model.

        Args:
            path: its folder.
            how: see ``aggregate_steps``; ``None``: as the folder was made.

        Raises:
            ParetoError: see ``ProcessModel.open``; no such ``how``.
        """
        from pareto.objectives.process.model import ProcessModel

        self.model = ProcessModel.open(path)
        self._how = check_how(how or self.model.how)

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
        """One score per completion."""
        found = self.model.score([plain(p) for p in prompts], [plain(c) for c in completions])
        return [aggregate_steps(steps, self._how) if steps else 0.0 for steps in found]
