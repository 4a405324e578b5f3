"""Solutions from a file, with the labels of their steps where somebody gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pareto.errors import ParetoError
from pareto.objectives.process.steps import split_steps
from pareto.prompts.rows import check_columns, file_rows, text_of
from pareto.training.process.labels import Labeller, Labels, Sparse, StepLabel, Verified

GIVEN = "given"


@dataclass(frozen=True)
class Solution:
    """A completion that solves a problem in steps."""

    prompt: str
    completion: str
    labels: Labels | None = None
    """One per step; ``None``: not labelled yet."""
    where: str = ""
    """It stands, for messages."""
    truth: Labels | None = None
    """Labels of all steps where ``labels`` are those of some only: never learnt from, only measured by."""
    answers: tuple[str, ...] = ()
    """Accepted answers of the problem."""

    @property
    def labelled(self) -> bool:
        """Whether any of its steps is."""
        return any(label.right is not None for label in self.labels or ())

    @property
    def measured_by(self) -> Labels:
        """What a model is held against."""
        return self.truth or self.labels or ()


def read_solutions(path: str | Path) -> list[Solution]:
    """Read a JSONL or Parquet file with ``prompt``, ``completion`` and, if it has them, ``labels`` and ``answers``.

    ``labels`` is a list with a value for each step of the completion: true, false, a chance in [0, 1], or null.
    ``answers`` is a list of the problem's accepted answers.

    Raises:
        ParetoError: no such file or column; a value of another kind; as many labels as there are not steps.
    """
    rows = file_rows(Path(path), ("prompt", "completion"), ("labels", "answers"), "solutions")
    found = [_solution(where, row) for where, row in rows]
    if not found:
        raise ParetoError(f"{path}: no solutions in it")
    return found


def labeller(spec: str) -> Labeller | None:
    """From ``verified``, ``sparse:K`` or ``given``, which is ``None``: the labels of the file.

    Raises:
        ParetoError: none of these.
    """
    kind, _, number = spec.partition(":")
    if spec == Verified.name:
        return Verified()
    if spec == GIVEN:
        return None
    if kind == "sparse" and number.isascii() and number.isdigit() and int(number):
        return Sparse(Verified(), int(number))
    raise ParetoError(
        f"labels '{spec}': known are verified, sparse:K (every K-th step, from 1), and given, those of the file; "
        "judges and roll-outs write them there: pareto process label"
    )


def labelled(solutions: Sequence[Solution], by: Labeller | None) -> list[Solution]:
    """The same solutions with labels.

    Args:
        solutions: as they were read.
        by: who labels them; ``None``: their own labels.

    Raises:
        ParetoError: a solution without labels of its own.
    """
    if by is not None:
        full = by.source if isinstance(by, Sparse) else None
        return [
            replace(
                s,
                labels=by(s.prompt, s.completion),
                truth=full(s.prompt, s.completion) if full is not None else None,
            )
            for s in solutions
        ]
    for s in solutions:
        if s.labels is None:
            raise ParetoError(f"{s.where}: no 'labels'; give them, or take --labels verified")
    return list(solutions)


def _solution(where: str, row: Mapping[str, Any]) -> Solution:
    check_columns(where, ("prompt", "completion"), row)
    for name in ("prompt", "completion"):
        text_of(where, name, row[name])
    labels, answers = row.get("labels"), row.get("answers") or []
    if not (isinstance(answers, list) and all(isinstance(a, str) for a in answers)):
        raise ParetoError(f"{where}: 'answers' is a list of texts, such as [\"42\"]")
    if labels is None:
        return Solution(row["prompt"], row["completion"], None, where, answers=tuple(answers))
    steps = len(split_steps(row["completion"]))
    if not isinstance(labels, list) or len(labels) != steps:
        told = f"{len(labels)} values" if isinstance(labels, list) else f"a {type(labels).__name__}"
        raise ParetoError(f"{where}: 'labels' has {told}, the completion {steps} steps; one value per step is needed")
    for k, value in enumerate(labels, 1):
        number = isinstance(value, int | float) and 0 <= value <= 1
        if not (value is None or number):
            raise ParetoError(f"{where}: label {k} is {value!r}; known: true, false, a chance in [0, 1], null")
    given = tuple(StepLabel(v, GIVEN) for v in labels)
    return Solution(row["prompt"], row["completion"], given, where, answers=tuple(answers))
