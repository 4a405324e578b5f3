"""Where one step of a reasoning ends and the next begins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DECOR = r"[ \t#>*_]*"
"""What Markdown puts before the first word of a line."""
_MARKER = re.compile(
    rf"^{_DECOR}step[ \t]+[0-9]+\b|(?<=[.!?;])[ \t]+(?:\*\*)?(?=step[ \t]+[0-9]+[ \t]*[:.)])",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(rf"^{_DECOR}([0-9]{{1,2}})[.)](?=[ \t*])", re.MULTILINE)
_ANSWER = re.compile(rf"^{_DECOR}(?:the[ \t]+)?(?:final[ \t]+)?answer\b|^[ \t]*####", re.IGNORECASE | re.MULTILINE)
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")
_SENTENCE = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bMrs\.)(?<!\bNo\.)(?<!\bvs\.)(?<!\be\.g\.)"
    r"(?<!\bi\.e\.)(?<!\bapprox\.)\s+(?=[A-Z0-9\"'($\\*-])"
)


@dataclass(frozen=True)
class Step:
    """One step of a completion."""

    start: int
    """Of its first character in the completion."""
    end: int
    """After its last one."""
    text: str
    """What lies between."""


def split_steps(text: str) -> tuple[Step, ...]:
    """The steps of a completion, in their order; together they hold all that is not white space.

    The first of these that is there decides: "Step 1:" or lines numbered from 1 (what follows a number belongs to it,
    a line with the answer begins a step); paragraphs between blank lines (one with equations in several lines is split
    into its lines); lines; sentences.
    """
    return tuple(_stripped(text, _cuts(text)))


def _cuts(text: str) -> Iterable[int]:
    marks = _marks(text)
    answers = [m.start() for m in _ANSWER.finditer(text)]
    if marks:
        return marks + answers
    if _PARAGRAPH.search(text.strip()):
        return [*_paragraphs(text), *answers]
    if "\n" in text.strip():
        return [m.end() for m in re.finditer(r"\n", text)]
    return [m.end() for m in _SENTENCE.finditer(text)]


def _marks(text: str) -> list[int]:
    """Where "Step 1:" or the numbers 1, 2, … stand, if they do."""
    named = [m.start() for m in _MARKER.finditer(text)]
    if named:
        return named
    found: list[int] = []
    for m in _NUMBERED.finditer(text):
        if int(m[1]) == len(found) + 1:  # a year or a result that begins a line counts nothing
            found.append(m.start())
    return found if len(found) > 1 else []


def _paragraphs(text: str) -> Iterator[int]:
    start = 0
    for end in [*(m.end() for m in _PARAGRAPH.finditer(text)), len(text)]:
        lines = text[start:end].strip().splitlines()
        if sum("=" in line for line in lines) > 1:
            yield from (start + m.end() for m in re.finditer(r"\n", text[start:end]))
        yield end
        start = end


def _stripped(text: str, cuts: Iterable[int]) -> Iterator[Step]:
    """What lies between the cuts, without the white space around it."""
    start = 0
    for end in [*sorted(cuts), len(text)]:
        part = text[start:end]
        if body := part.strip():
            at = start + part.index(body)
            yield Step(at, at + len(body), body)
        start = end
