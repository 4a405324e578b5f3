"""A question as a person is to see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pareto.records import Answer, Label, Question

Pressed = Literal["left", "right", "tie", "skip"]
"""What a person says of what is shown."""


@dataclass(frozen=True)
class Shown:
    """Two completions on sides thrown by chance."""

    question: Question
    swapped: bool
    """Whether chance put ``second`` on the left."""
    repeated: bool
    """Whether another person has answered it already: so agreement can be measured."""

    @property
    def left(self) -> str:
        """The completion on the left."""
        return self.question.second if self.swapped else self.question.first

    @property
    def right(self) -> str:
        """The completion on the right."""
        return self.question.first if self.swapped else self.question.second

    def label(self, pressed: Pressed, person: str, milliseconds: int = 0) -> Label:
        """The record of a person's answer, to be kept with ``AnnotationQueue.record``."""
        q = self.question
        first_is_better = (pressed == "left") != self.swapped
        answer: Answer = pressed if pressed in ("tie", "skip") else "first" if first_is_better else "second"
        return Label(
            objective=q.objective,
            prompt_id=q.prompt_id,
            prompt=q.prompt,
            first=q.first,
            second=q.second,
            answer=answer,
            annotator=person,
            who="person",
            round=q.round,
            swapped=self.swapped,
            milliseconds=milliseconds,
        )
