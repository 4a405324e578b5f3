"""The annotation queue of a run or of rounds: questions that wait, and the labels that answered them.

Three journals that are only ever added to, one JSON object a line: ``questions.jsonl``, ``labels.jsonl`` and
``failures.jsonl``. Taking a label back is another line, ``{"undo": id, …}``, so nothing is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pareto.errors import ParetoError
from pareto.preferences.agreement import Agreement, agreement
from pareto.preferences.annotation import tally
from pareto.preferences.annotation.annotator import Failure
from pareto.preferences.annotation.journal import Journal
from pareto.preferences.annotation.lines import ANSWERS, Undo, failure_line, label_line, question_line
from pareto.preferences.annotation.shown import Shown
from pareto.records import Label, Pair, Question, Who

OVERLAP = 5
"""Every so manyth question of a person is one that somebody else has answered, so that agreement can be measured."""


class AnnotationQueue:
    """The queue in a folder; several people, threads and processes may use it at once."""

    def __init__(self, folder: str | Path) -> None:
        """``folder``: ``labels/`` of a run or of rounds; made at the first write."""
        self.folder = Path(folder)
        self._questions: Journal[Question] = Journal(self.folder / "questions.jsonl", question_line)
        self._labels: Journal[Label | Undo] = Journal(self.folder / "labels.jsonl", label_line)
        self._failures: Journal[Failure] = Journal(self.folder / "failures.jsonl", failure_line)

    @property
    def torn(self) -> int:
        """How many lines could not be read."""
        return self._questions.read()[1] + self._labels.read()[1] + self._failures.read()[1]

    # -- what is asked -------------------------------------------------------------------------------------------

    def ask(self, questions: Sequence[Question]) -> int:
        """Add questions; one that stands already in the same round is not added twice.

        Returns:
            How many were new.

        Raises:
            ParetoError: two equal texts, or texts out of order (``questions.make`` orders them); a full disk.
        """
        for question in questions:
            if question.first >= question.second:
                raise ParetoError(f"question on '{question.prompt_id}': it needs two different texts, in their order")
        with self._questions.lock():
            standing = {_asked(q) for q in self.questions}
            new = {_asked(q): q for q in questions if _asked(q) not in standing}
            self._questions.add(asdict(q) for q in new.values())
        return len(new)

    @property
    def questions(self) -> list[Question]:
        """All that were asked, in that order."""
        return self._questions.read()[0]

    def waiting(
        self, annotator: str | None = None, objective: str | None = None, round: int | None = None
    ) -> list[Question]:
        """Questions without an answer; a skipped one is answered.

        Args:
            annotator: by this one; ``None``: by anybody.
            objective: only of this one.
            round: only those that this round asked.
        """
        answered = {_asked(label) for label in self.labels if annotator in (None, label.annotator)}
        return [
            q
            for q in self.questions
            if _asked(q) not in answered and objective in (None, q.objective) and round in (None, q.round)
        ]

    # -- what was answered ---------------------------------------------------------------------------------------

    @property
    def labels(self) -> list[Label]:
        """All that were not taken back, in the order given."""
        return [*self._standing().values()]

    @property
    def failures(self) -> list[Failure]:
        """What could not be answered when it was asked, in that order."""
        return self._failures.read()[0]

    def record(self, label: Label) -> bool:
        """Keep a label at once.

        Returns:
            False where its id stands already: programmatic annotators give the same question the same id, so what is
            done twice counts once.

        Raises:
            ParetoError: an answer that is none, a strength that is not more than 0, or a full disk.
        """
        return self.record_all([label]) == 1

    def record_all(self, labels: Sequence[Label]) -> int:
        """Keep several labels; how many were new. Raises as ``record``."""
        for label in labels:
            if label.answer not in ANSWERS:
                raise ParetoError(f"label '{label.answer}': the answer must be one of {', '.join(ANSWERS)}")
            if not 0 < label.strength < math.inf:
                raise ParetoError(f"label of strength {label.strength:g}: it must be more than 0")
        with self._labels.lock():
            standing = self._standing()
            new = {label.id: label for label in labels if label.id not in standing}
            self._labels.add(asdict(label) for label in new.values())
        return len(new)

    def undo(self, annotator: str, who: Who = "person") -> Label | None:
        """Take an annotator's last label back; which one, or ``None`` where there is none.

        Args:
            annotator: by name.
            who: what it is; a person may be called as a programmatic annotator is.
        """
        with self._labels.lock():
            own = [label for label in self.labels if (label.annotator, label.who) == (annotator, who)]
            if not own:
                return None
            self._labels.add(
                [asdict(Undo(own[-1].id, annotator, datetime.now(UTC).isoformat(timespec="milliseconds")))]
            )
        return own[-1]

    def fail(self, failure: Failure) -> None:
        """Keep that an annotator could not answer, and what it cost; the question stays waiting."""
        with self._failures.lock():
            self._failures.add([asdict(failure)])

    # -- people --------------------------------------------------------------------------------------------------

    def next(self, person: str, objective: str | None = None, seed: int | None = None) -> Shown | None:
        """The next question for a person, on sides thrown by chance; ``None``: nothing waits.

        One that nobody has answered, of the latest round, by chance, so that two people seldom get the same; but every
        fifth is one that another person has answered, where there is one that this person has not.

        Args:
            person: who is asked.
            objective: only of this one.
            seed: of what is left to chance; ``None``: a new one.
        """
        fresh = self.waiting(objective=objective)
        if not fresh:
            return None
        rng = np.random.default_rng(seed)
        labels = [x for x in self.labels if x.who == "person" and objective in (None, x.objective)]
        others = {x.key for x in labels if x.annotator != person and x.answer != "skip"}
        others -= {x.key for x in labels if x.annotator == person}
        shared = [q for q in self.questions if q.key in others]
        repeated = bool(shared) and sum(x.annotator == person for x in labels) % OVERLAP == OVERLAP - 1
        latest = max(q.round for q in fresh)
        among = shared if repeated else [q for q in fresh if q.round == latest]
        return Shown(among[rng.integers(len(among))], bool(rng.random() < 0.5), repeated)

    def agreement(self, objective: str | None = None) -> Agreement:
        """How far people agree on the same two completions of a prompt."""
        people = [x for x in self.labels if x.who == "person" and objective in (None, x.objective)]
        return agreement((x.key, x.annotator, x.answer) for x in people)

    # -- what follows --------------------------------------------------------------------------------------------

    def pairs(self, objective: str, *, half_life: float | None = None, round: int | None = None) -> list[Pair]:
        """What a reward model of an objective learns from; see ``tally.pairs``."""
        return tally.pairs([x for x in self.labels if x.objective == objective], half_life, round)

    def contradictions(self, objective: str | None = None) -> list[list[Label]]:
        """Labels of the same question that say both; see ``tally.contradictions``."""
        return tally.contradictions([x for x in self.labels if objective in (None, x.objective)])

    def spent(self) -> dict[str, Any]:
        """What the labels took; see ``tally.spent``."""
        return tally.spent(self.labels, self.failures)

    def _standing(self) -> dict[str, Label]:
        """Id → label, without those taken back."""
        standing: dict[str, Label] = {}
        for said in self._labels.read()[0]:
            if isinstance(said, Undo):
                standing.pop(said.undo, None)
            else:
                standing[said.id] = said
        return standing


def _asked(x: Question | Label) -> tuple[str, str, str, str, int]:
    """A question's key and the round that wants it answered."""
    return (*x.key, x.round)
