"""What people answered, kept with the run: ``study/duels.jsonl``, one JSON object a line, only ever added to.

Taking an answer back is another line, ``{"undo": id, …}``, so nothing is lost.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from pareto.errors import ParetoError
from pareto.records import SCHEMA
from pareto.store.files import append_line, to_json, write_text
from pareto.store.run import Run

Answer = Literal["left", "right", "tie", "both_bad", "skip"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
FILE = Path("study", "duels.jsonl")
_PERSON = re.compile(r"[\w][\w .@+-]{0,39}")


@dataclass(frozen=True)
class Duel:
    """One answered question: which of two completions of the same prompt is better."""

    run: str
    prompt_id: str
    prompt: str
    left: str
    """Id of the point that answered on the left."""
    right: str
    left_completion: str
    right_completion: str
    left_seed: int
    right_seed: int
    difference: tuple[float, ...]
    """Objective vectors of left minus right, to maximise, in base standard deviations, (m,): of the two completions
    where they were scored, else of the points. 0 where an objective does not apply."""
    swapped: bool
    """Whether chance put the point that comes second in the order of ids on the left."""
    answer: Answer
    person: str = "me"
    milliseconds: int = 0
    """From seeing both to answering."""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """UTC."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def question(self) -> tuple[str, ...]:
        """What was asked, whichever way round: equal for everybody who was asked the same."""
        sides = sorted([(self.left, self.left_completion), (self.right, self.right_completion)])
        return (self.prompt_id, *sides[0], *sides[1])

    @property
    def verdict(self) -> str:
        """The answer, whichever way round the question was: ``first`` and ``second`` are sides of ``question``."""
        if self.answer not in ("left", "right"):
            return self.answer
        left_first = (self.left, self.left_completion) <= (self.right, self.right_completion)
        return "first" if (self.answer == "left") == left_first else "second"


def check_person(name: str) -> str:
    """The name without spaces around it.

    Raises:
        ParetoError: not 1 to 40 letters, digits, spaces and ``_ . @ + -``, starting with a letter or digit.
    """
    if not _PERSON.fullmatch(name.strip()):
        raise ParetoError(f"person {name!r}: 1 to 40 letters, digits, spaces and _ . @ + -, such as: me")
    return name.strip()


def append(run: Run, duel: Duel) -> None:
    """Add an answered duel.

    Raises:
        ParetoError: an answer or a name that is none, another number of objectives, or a full disk.
    """
    duel = replace(duel, person=check_person(duel.person))
    if duel.answer not in ANSWERS:
        raise ParetoError(f"answer {duel.answer!r}: one of {', '.join(ANSWERS)}")
    if len(duel.difference) != len(run.recipe.names):
        raise ParetoError(f"duel: {len(duel.difference)} differences for {len(run.recipe.names)} objectives")
    _append(run, {"schema": SCHEMA, **asdict(duel)})


def take_back(run: Run, duel: Duel) -> None:
    """Add the line that takes a duel back."""
    _append(run, {"schema": SCHEMA, "undo": duel.id, "person": duel.person})


def read(run: Run) -> tuple[list[Duel], int]:
    """The duels that were not taken back, in the order written, and how many lines could not be read.

    A line is torn where a machine went down while it was written; the others are as good as before.
    """
    try:
        lines = (run.path / FILE).read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], 0
    duels: dict[str, Duel] = {}
    torn = 0
    for line in filter(bytes.strip, lines):
        try:
            found = json.loads(line)
            if "undo" in found:
                duels.pop(found["undo"], None)
            else:
                duel = _duel(found, len(run.recipe.names))
                duels[duel.id] = duel
        except (ValueError, TypeError, KeyError):
            torn += 1
    return list(duels.values()), torn


def export(path: Path, duels: Iterable[Duel]) -> None:
    """Write duels as JSONL, one object a line, in one step. Raises ParetoError on a full disk."""
    write_text(path, "".join(to_json({"schema": SCHEMA, **asdict(duel)}) + "\n" for duel in duels))


def people(duels: Sequence[Duel]) -> list[str]:
    """Who answered, in the order of first answers."""
    return list(dict.fromkeys(duel.person for duel in duels))


def _append(run: Run, line: dict[str, Any]) -> None:
    path = run.path / FILE
    path.parent.mkdir(exist_ok=True)
    append_line(path, to_json(line))


def _duel(found: dict[str, Any], m: int) -> Duel:
    """Raises KeyError, TypeError or ValueError for what is no duel of m objectives."""
    fields = {**found, "difference": tuple(map(float, found["difference"]))}
    del fields["schema"]
    duel = Duel(**fields)
    if duel.answer not in ANSWERS or len(duel.difference) != m or not isinstance(duel.id, str):
        raise ValueError
    return duel
