"""Labelled files in and out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pareto.errors import ParetoError
from pareto.preferences.annotation.files import export_labels, import_labels
from pareto.preferences.annotation.questions import make
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.preferences.annotation.shown import Shown
from pareto.preferences.pairs import read_pairs
from pareto.records import Prompt


@pytest.fixture
def queue(tmp_path: Path) -> AnnotationQueue:
    return AnnotationQueue(tmp_path / "labels")


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


ROWS = (
    {"prompt": "Why?", "chosen": "Because.", "rejected": "Asking is rude.", "strength": 2.0, "annotator": "ann"},
    {"prompt": "Why?", "chosen": "Asking is rude.", "rejected": "Because.", "annotator": "bob"},
    {"prompt": "Who?", "chosen": "Me.", "rejected": "You.", "tie": True},
    {"prompt": "When?", "chosen": "Now.", "rejected": "Now."},
)


def test_a_file_becomes_labels_and_what_is_wrong_is_told(queue: AnnotationQueue, tmp_path: Path) -> None:
    done = import_labels(queue, write(tmp_path / "ours.jsonl", *ROWS), "kind", round=2)
    assert (done.new, done.found) == (3, 3)
    assert any("the same text" in p for p in done.problems)
    assert [(x.annotator, x.who, x.round, x.answer, x.strength) for x in queue.labels] == [
        ("file:ours.jsonl:ann", "file", 2, "second", 2.0),
        ("file:ours.jsonl:bob", "file", 2, "first", 1.0),
        ("file:ours.jsonl", "file", 2, "tie", 1.0),
    ]
    assert [(p.chosen, p.target, p.weight) for p in queue.pairs("kind")] == [
        ("Because.", 1.0, 2.0),
        ("Asking is rude.", 1.0, 1.0),
        ("Me.", 0.5, 1.0),
    ]
    assert len(queue.contradictions("kind")) == 1


def test_twice_the_same_file_counts_once_also_under_another_name(queue: AnnotationQueue, tmp_path: Path) -> None:
    path = write(tmp_path / "ours.jsonl", *ROWS)
    assert import_labels(queue, path, "kind").new == 3
    assert import_labels(queue, path, "kind").new == 0
    assert import_labels(queue, shutil.copy(path, tmp_path / "copy.jsonl"), "kind").new == 0
    more = write(path, *ROWS, {"prompt": "How?", "chosen": "So.", "rejected": "Not."})
    assert import_labels(queue, more, "kind").new == 1
    assert import_labels(queue, path, "honest").new == 4


def test_what_is_asked_in_the_queue_too_is_the_same_question(queue: AnnotationQueue, tmp_path: Path) -> None:
    question = make("kind", Prompt("id-7", "Why?", "people"), ("Because.", "Asking is rude."))
    queue.ask([question])
    import_labels(queue, write(tmp_path / "ours.jsonl", ROWS[0]), "kind")
    assert queue.labels[0].key == question.key
    assert queue.waiting() == []


def test_an_export_is_read_by_trl_and_by_us(queue: AnnotationQueue, tmp_path: Path) -> None:
    answers = ("left", "right", "tie", "skip")
    for k, pressed in enumerate(answers):
        question = make("kind", Prompt(f"p{k}", f"{k}?", "s"), ("a", "b"), round=1)
        queue.record(Shown(question, swapped=False, repeated=False).label(pressed, "ann"))  # type: ignore[arg-type]
    import_labels(queue, write(tmp_path / "ours.jsonl", ROWS[0]), "honest")
    path = tmp_path / "out.jsonl"
    assert export_labels(queue, path) == 4
    assert export_labels(queue, path, "kind") == 3
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(r["prompt"], r["chosen"], r["rejected"], r["tie"]) for r in rows] == [
        ("0?", "a", "b", False),
        ("1?", "b", "a", False),
        ("2?", "a", "b", True),
    ]
    assert {(r["annotator"], r["who"], r["round"], r["objective"]) for r in rows} == {("ann", "person", 1, "kind")}
    assert all(r["time"] for r in rows)
    pairs = read_pairs(path).pairs
    assert [(p.chosen, p.target, p.annotator) for p in pairs] == [
        ("a", 1.0, "ann"),
        ("b", 1.0, "ann"),
        ("a", 0.5, "ann"),
    ]


def test_a_file_that_is_none(queue: AnnotationQueue, tmp_path: Path) -> None:
    with pytest.raises(ParetoError, match="no such file"):
        import_labels(queue, tmp_path / "nothing.jsonl", "kind")


def test_an_export_that_comes_back_is_nothing_new(queue: AnnotationQueue, tmp_path: Path) -> None:
    import_labels(queue, write(tmp_path / "ours.jsonl", *ROWS), "kind", round=2)
    question = make("kind", Prompt("p", "Where?", "people"), ("Here.", "There."))
    queue.ask([question])
    queue.record(Shown(question, False, False).label("left", "me"))
    export_labels(queue, tmp_path / "out.jsonl")
    assert import_labels(queue, tmp_path / "out.jsonl", "kind").new == 0
    assert import_labels(queue, shutil.move(tmp_path / "out.jsonl", tmp_path / "back.jsonl"), "kind").new == 0
    assert len(queue.labels) == 4


def test_labels_by_another_objective_are_left_out(queue: AnnotationQueue, tmp_path: Path) -> None:
    rows = [{**ROWS[0], "objective": "kind"}, {**ROWS[0], "objective": "brief"}]
    done = import_labels(queue, write(tmp_path / "both.jsonl", *rows), "brief")
    assert (done.new, done.found) == (1, 1)
    assert [x.objective for x in queue.labels] == ["brief"]
    assert any("1 comparisons by another objective" in p for p in done.problems)
