"""Labelled files in and out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pareto.preferences.annotation import tally
from pareto.preferences.pairs import read_pairs
from pareto.prompts.split import prompt_id
from pareto.records import Label, Pair
from pareto.store.files import fingerprint, to_json, write_text

if TYPE_CHECKING:
    from pareto.preferences.annotation.queue import AnnotationQueue


@dataclass(frozen=True)
class Imported:
    """What came of importing a labelled file."""

    new: int
    """Labels that were not there before."""
    found: int
    """Comparisons that can be used."""
    problems: list[str]
    """What is wrong with the rest, one line each, with its place."""


def import_labels(queue: AnnotationQueue, source: str | Path, objective: str, round: int | None = None) -> Imported:
    """Take comparisons in as labels of ``file:<name>``, or ``file:<name>:<annotator>`` where a row names one.

    The same comparison with the same answer of the same annotator counts once, however often its file is imported and
    whatever the file is called, also where it is an export of these labels. Rows that name another objective are left
    out.

    Args:
        queue: that keeps them.
        source: as ``read_pairs`` takes it.
        objective: by which the file's comparisons were made.
        round: that they count to; ``None``: each row's own.

    Raises:
        ParetoError: see ``read_pairs``; a full disk.
    """
    found = read_pairs(source)
    # What is asked in the queue too is the same question.
    ids = {q.prompt: q.prompt_id for q in queue.questions}
    name = Path(source).name
    kept = [pair for pair in found.pairs if pair.objective in ("", objective)]
    problems = list(found.problems)
    if len(kept) < len(found.pairs):
        problems.append(f"{source}: {len(found.pairs) - len(kept)} comparisons by another objective are left out")
    there = {_said(label) for label in queue.labels}
    labels = [
        _label(pair, objective, ids.get(pair.prompt) or prompt_id(name, pair.prompt), name, round) for pair in kept
    ]
    return Imported(queue.record_all([x for x in labels if _said(x) not in there]), len(kept), problems)


def export_labels(queue: AnnotationQueue, path: str | Path, objective: str | None = None) -> int:
    """Write all answers but skipped ones as JSON lines that TRL and ``read_pairs`` take.

    Beside prompt, chosen and rejected: strength, tie, annotator, who, round, time and objective. Of a tie, chosen and
    rejected mean nothing.

    Args:
        queue: whose labels.
        path: the file, replaced in one step.
        objective: only of this one.

    Returns:
        How many.

    Raises:
        ParetoError: on a full disk.
    """
    kept = [x for x in queue.labels if x.answer != "skip" and objective in (None, x.objective)]
    write_text(path, "".join(to_json(_row(label)) + "\n" for label in kept))
    return len(kept)


def _said(label: Label) -> tuple[str, ...]:
    """Who said what of which comparison, whatever files it has gone through."""
    pair = tally.pair(label)
    answer = "tie" if label.answer == "tie" else pair.chosen
    by = label.annotator
    while by.startswith("file:"):
        by = by.removeprefix("file:").partition(":")[2]
    return (label.objective, pair.prompt, *sorted((pair.chosen, pair.rejected)), answer, by)


def _label(pair: Pair, objective: str, prompt: str, name: str, round: int | None) -> Label:
    turned = pair.chosen > pair.rejected
    first, second = (pair.rejected, pair.chosen) if turned else (pair.chosen, pair.rejected)
    answer = "tie" if pair.target == 0.5 else "second" if turned else "first"
    return Label(
        objective=objective,
        prompt_id=prompt,
        prompt=pair.prompt,
        first=first,
        second=second,
        answer=answer,  # type: ignore[arg-type]
        annotator=f"file:{name}:{pair.annotator}" if pair.annotator else f"file:{name}",
        who="file",
        round=pair.round if round is None else round,
        strength=pair.weight,
        id=fingerprint(["file", objective, pair.prompt, first, second, answer, pair.annotator]),
    )


def _row(label: Label) -> dict[str, object]:
    pair = tally.pair(label)
    return {
        "prompt": pair.prompt,
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "strength": pair.weight,
        "tie": pair.target == 0.5,
        "annotator": label.annotator,
        "who": label.who,
        "round": label.round,
        "time": label.time,
        "objective": label.objective,
    }
