"""From the journals' lines back to records. What is no such record raises KeyError, TypeError or ValueError."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_args

from pareto.preferences.annotation.annotator import Failure
from pareto.records import Answer, Label, Question

ANSWERS: tuple[Answer, ...] = get_args(Answer)


@dataclass(frozen=True)
class Undo:
    """That a label was taken back."""

    undo: str
    """The label's id."""
    annotator: str
    time: str
    """UTC."""


def question_line(found: dict[str, Any]) -> Question:
    """A line of ``questions.jsonl``."""
    scores = {side: [float(x) for x in members] for side, members in found["scores"].items()}
    question = Question(**{**found, "answers": tuple(found["answers"]), "scores": scores})
    return _checked(question)


def label_line(found: dict[str, Any]) -> Label | Undo:
    """A line of ``labels.jsonl``."""
    if "undo" in found:
        return _checked(Undo(**found))
    label = _checked(Label(**found))
    if label.answer not in ANSWERS:
        raise ValueError
    return label


def failure_line(found: dict[str, Any]) -> Failure:
    """A line of ``failures.jsonl``."""
    return _checked(Failure(**found))


R = TypeVar("R", Question, Label, Undo, Failure)
_TYPES: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def _checked(record: R) -> R:
    for field in fields(record):
        wanted = _TYPES.get(str(field.type))
        if wanted is not None and not isinstance(getattr(record, field.name), wanted):
            raise TypeError
    return record
