"""Whoever answers questions without being watched: one interface for gold rewards, judges and labelled files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from pareto.records import Answer, Label, Question, Who
from pareto.store.files import fingerprint

if TYPE_CHECKING:
    from pareto.preferences.annotation.queue import AnnotationQueue


@dataclass(frozen=True)
class Failure:
    """A question that an annotator could not answer; it stays waiting."""

    objective: str
    prompt_id: str
    round: int
    annotator: str
    reason: str
    """One line."""
    cost: float = 0.0
    """Of the calls that came to nothing."""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """UTC."""


class Annotator(Protocol):
    """Answers questions one by one."""

    @property
    def name(self) -> str:
        """As its labels bear it."""
        ...

    @property
    def who(self) -> Who:
        """What it is."""
        ...

    def answer(self, questions: Sequence[Question]) -> Iterator[Label | Failure]:
        """One label or failure per question, in the order of the questions, as they come.

        Raises:
            ParetoError: none of the rest could be answered either.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What came of asking an annotator."""

    annotator: str
    labelled: int
    """New labels."""
    before: int
    """Questions that this annotator had answered already."""
    failed: list[Failure]
    """Questions that stay waiting."""
    cost: float
    """Of all calls, in the currency of the judge's prices."""

    @property
    def text(self) -> str:
        """One line for people."""
        parts = [f"{self.annotator}: {self.labelled} labelled"]
        parts += [f"{self.before} were already"] if self.before else []
        parts += [f"{len(self.failed)} failed and wait (the last: {self.failed[-1].reason})"] if self.failed else []
        parts += [f"cost {self.cost:.4g}"] if self.cost else []
        return ", ".join(parts)


def annotate(
    queue: AnnotationQueue,
    annotator: Annotator,
    questions: Sequence[Question],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Have questions answered; each label is kept as it comes, so a killed call goes on where it was.

    Args:
        queue: keeps the labels, and what failed.
        annotator: who answers what it has not answered yet.
        questions: in any order.
        progress: called with (questions done, questions in all).

    Raises:
        ParetoError: the annotator gives up; what it answered until then is kept.
    """
    standing = {label.id for label in queue.labels}
    todo = [q for q in questions if label_id(q, annotator.name) not in standing]
    before = len(questions) - len(todo)
    labelled, cost, failed = 0, 0.0, list[Failure]()
    for k, answer in enumerate(annotator.answer(todo)):
        cost += answer.cost
        if isinstance(answer, Failure):
            queue.fail(answer)
            failed.append(answer)
        else:
            labelled += queue.record(answer)
        progress(before + k + 1, len(questions))
    return Outcome(annotator.name, labelled, before, failed, cost)


def label_id(question: Question, annotator: str) -> str:
    """Id of a programmatic annotator's label: the same question in the same round always gets the same."""
    return fingerprint([*question.key, question.round, annotator])


def labelled(
    question: Question,
    answer: Answer,
    annotator: Annotator,
    *,
    milliseconds: int = 0,
    note: str = "",
    cost: float = 0.0,
) -> Label:
    """The label of a programmatic annotator."""
    return Label(
        objective=question.objective,
        prompt_id=question.prompt_id,
        prompt=question.prompt,
        first=question.first,
        second=question.second,
        answer=answer,
        annotator=annotator.name,
        who=annotator.who,
        round=question.round,
        milliseconds=milliseconds,
        note=note,
        cost=cost,
        id=label_id(question, annotator.name),
    )


def failure(question: Question, annotator: Annotator, reason: str, cost: float = 0.0) -> Failure:
    """That the annotator could not answer a question."""
    return Failure(question.objective, question.prompt_id, question.round, annotator.name, reason, cost)
