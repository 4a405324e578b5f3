"""The annotation queue: nothing lost, nothing counted twice, whoever writes and dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from forge import until
from judges import judge_server

from pareto.config import Judge
from pareto.errors import ParetoError
from pareto.preferences.annotation.annotator import annotate, label_id, labelled
from pareto.preferences.annotation.judge import JudgeAnnotator
from pareto.preferences.annotation.questions import candidates, criterion, make
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.preferences.annotation.shown import Shown
from pareto.records import Label, Prompt, Question


class Gold:
    name, who = "gold", "gold"


@pytest.fixture
def queue(tmp_path: Path) -> AnnotationQueue:
    return AnnotationQueue(tmp_path / "labels")


def asked(n: int, objective: str = "helpful", round: int = 1) -> list[Question]:
    return [make(objective, Prompt(f"p{k}", f"Question {k}?", "s"), ("yes", "no"), round) for k in range(n)]


def by(person: str, question: Question, answer: str = "first") -> Label:
    shown = Shown(question, swapped=False, repeated=False)
    return shown.label({"first": "left", "second": "right"}.get(answer, answer), person)  # type: ignore[arg-type]


# -- questions ---------------------------------------------------------------------------------------------------


def test_a_question_is_the_same_whichever_way_round() -> None:
    prompt = Prompt("p", "?", "s", ("42",))
    one = make("o", prompt, ("b", "a"), scores=([1.0, 2.0], [3.0, 4.0]))
    other = make("o", prompt, ("a", "b"), scores=([3.0, 4.0], [1.0, 2.0]))
    assert one == other
    assert (one.first, one.scores, one.answers) == ("a", {"first": [3.0, 4.0], "second": [1.0, 2.0]}, ("42",))


def test_candidates_are_all_pairs_of_different_texts() -> None:
    texts = {"p": ["c", "a", "c", "b", " "], "q": ["same", "same"]}
    found = candidates("o", [Prompt("p", "?", "s"), Prompt("q", "?", "s"), Prompt("r", "?", "s")], texts, 2)
    assert [(q.prompt_id, q.first, q.second, q.round) for q in found] == [
        ("p", "a", "c", 2),
        ("p", "b", "c", 2),
        ("p", "a", "b", 2),
    ]


def test_people_are_asked_in_the_recipes_words() -> None:
    assert criterion({"helpful": "Which one helps?"}, "helpful") == "Which one helps?"
    assert criterion({}, "helpful") == "Which answer is more helpful?"


def test_a_standing_question_is_not_asked_again_in_its_round(queue: AnnotationQueue) -> None:
    assert queue.ask(asked(3)) == 3
    assert queue.ask(asked(4)) == 1
    assert queue.ask(asked(1, round=2)) == 1
    assert len(queue.questions) == 5
    assert AnnotationQueue(queue.folder).questions == queue.questions


def test_equal_texts_are_no_question(queue: AnnotationQueue) -> None:
    with pytest.raises(ParetoError, match="two different texts"):
        queue.ask([replace(asked(1)[0], second=asked(1)[0].first)])


def test_what_waits_for_whom(queue: AnnotationQueue) -> None:
    questions = asked(3) + asked(1, "short")
    queue.ask(questions)
    queue.record(by("ann", questions[0]))
    queue.record(by("bob", questions[1], "skip"))
    assert queue.waiting() == questions[2:]
    assert queue.waiting("ann") == questions[1:]
    assert queue.waiting("cy") == questions
    assert queue.waiting(objective="short") == questions[3:]
    assert queue.waiting(round=2) == []


# -- labels ------------------------------------------------------------------------------------------------------


def test_every_label_keeps_who_when_and_which_round(queue: AnnotationQueue) -> None:
    (question,) = asked(1, round=3)
    queue.record(Shown(question, swapped=True, repeated=False).label("left", "ann", 1500))
    (label,) = AnnotationQueue(queue.folder).labels
    assert (label.annotator, label.who, label.round, label.milliseconds) == ("ann", "person", 3, 1500)
    assert label.time.endswith("+00:00")
    # "yes" stood on the left, and sorts second.
    assert (label.answer, label.swapped) == ("second", True)


@pytest.mark.parametrize(
    ("swapped", "pressed", "answer"),
    [
        (False, "left", "first"),
        (False, "right", "second"),
        (True, "right", "first"),
        (True, "tie", "tie"),
        (False, "skip", "skip"),
    ],
)
def test_the_side_does_not_matter(swapped: bool, pressed: str, answer: str) -> None:
    shown = Shown(asked(1)[0], swapped, repeated=False)
    assert {shown.left, shown.right} == {"yes", "no"}
    assert shown.label(pressed, "ann").answer == answer  # type: ignore[arg-type]


def test_undo_takes_the_own_last_label_back_and_loses_nothing(queue: AnnotationQueue) -> None:
    first, second = asked(2)
    queue.record(by("ann", first))
    queue.record(by("ann", second))
    queue.record(by("bob", second))
    taken = queue.undo("ann")
    assert taken is not None
    assert taken.prompt_id == "p1"
    assert [(x.annotator, x.prompt_id) for x in queue.labels] == [("ann", "p0"), ("bob", "p1")]
    assert queue.undo("nobody") is None
    assert (queue.folder / "labels.jsonl").read_text(encoding="utf-8").count("\n") == 4


def test_a_person_called_as_an_annotator_takes_nothing_of_it_back(queue: AnnotationQueue) -> None:
    first, second = asked(2)
    queue.record(by("gold", first))
    queue.record(labelled(second, "first", Gold()))
    assert [row["who"] for row in queue.spent()["rows"]] == ["gold", "person"]
    taken = queue.undo("gold")
    assert taken is not None
    assert taken.prompt_id == "p0"
    assert queue.undo("gold") is None
    assert [x.who for x in queue.labels] == ["gold"]


def test_what_was_taken_back_can_be_given_again(queue: AnnotationQueue) -> None:
    label = labelled(asked(1)[0], "first", Gold())
    assert queue.record(label)
    assert not queue.record(label)
    queue.undo("gold", "gold")
    assert queue.record(label)
    assert len(queue.labels) == 1


def test_a_label_that_is_none_is_refused(queue: AnnotationQueue) -> None:
    label = by("ann", asked(1)[0])
    for wrong in (replace(label, answer="both"), replace(label, strength=0.0), replace(label, strength=float("nan"))):
        with pytest.raises(ParetoError):
            queue.record(wrong)
    assert queue.labels == []


def test_a_torn_line_costs_that_line_only(queue: AnnotationQueue) -> None:
    for question in asked(3):
        queue.record(by("ann", question))
    path = queue.folder / "labels.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert (len(queue.labels), queue.torn) == (2, 1)
    queue.record(by("ann", asked(3)[2]))
    for fresh in (queue, AnnotationQueue(queue.folder)):
        assert (len(fresh.labels), fresh.torn) == (3, 1)


def test_a_last_line_that_only_lacks_its_end_counts(queue: AnnotationQueue) -> None:
    queue.record(by("ann", asked(1)[0]))
    path = queue.folder / "labels.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert (len(queue.labels), queue.torn) == (1, 0)
    queue.record(by("bob", asked(1)[0]))
    assert [x.annotator for x in queue.labels] == ["ann", "bob"]


@pytest.mark.parametrize("line", ["null", "[]", "{}", '{"schema": 1, "answer": "first"}', '{"schema": 1, "undo": 3}'])
def test_a_line_that_says_nothing_is_told(queue: AnnotationQueue, line: str) -> None:
    queue.record(by("ann", asked(1)[0]))
    with open(queue.folder / "labels.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert (len(queue.labels), queue.torn) == (1, 1)


def test_several_threads_with_queues_of_their_own_lose_nothing(queue: AnnotationQueue) -> None:
    questions = asked(30)

    def label(person: str) -> None:
        own = AnnotationQueue(queue.folder)
        own.ask(questions)
        for question in questions:
            own.record(by(person, question))
            own.record(labelled(question, "first", Gold()))  # the same by everybody

    threads = [threading.Thread(target=label, args=(f"person {k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(queue.questions) == 30
    assert Counter(x.annotator for x in queue.labels) == {f"person {k}": 30 for k in range(4)} | {"gold": 30}
    assert queue.torn == 0


def test_killed_in_the_middle_and_started_again_nothing_is_lost_or_counted_twice(queue: AnnotationQueue) -> None:
    questions = asked(24)
    queue.ask(questions)
    script = f"""
        from pareto.config import Judge
        from pareto.preferences.annotation.annotator import annotate
        from pareto.preferences.annotation.judge import JudgeAnnotator
        from pareto.preferences.annotation.queue import AnnotationQueue
        import sys
        queue = AnnotationQueue({str(queue.folder)!r})
        annotate(queue, JudgeAnnotator(Judge(url=sys.argv[1], model="m")), queue.questions)
    """

    calls = threading.Semaphore(0)

    def says(request: str, a: str, b: str) -> str:
        calls.acquire()
        return "A" if a == "yes" else "B"

    with judge_server(says) as server:
        for target in (3, 6):
            command = [sys.executable, "-c", textwrap.dedent(script), server.url]
            process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
            # Of four questions at once at most three wait, half answered or out of turn, for their label.
            calls.release(16)
            until(lambda target=target: len(queue.labels) >= target, late=process.kill)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, "it was to be killed in the middle"
            assert target <= len(queue.labels) < 24
        before = queue.labels
        calls.release(1000)
        done = annotate(queue, JudgeAnnotator(Judge(url=server.url, model="m")), queue.questions)
    assert queue.labels[: len(before)] == before
    assert done.before == len(before)
    assert Counter(x.id for x in queue.labels) == {label_id(q, "judge:m"): 1 for q in questions}
    # "yes" sorts after "no".
    assert {x.answer for x in queue.labels} == {"second"}
    assert queue.spent()["labels"] == 24


# -- people ------------------------------------------------------------------------------------------------------


def test_every_fifth_question_is_one_that_somebody_else_answered(queue: AnnotationQueue) -> None:
    queue.ask(asked(40))
    for k, question in enumerate(queue.questions[:10]):
        queue.record(by("bob", question, "skip" if k == 0 else "first"))
    repeated = []
    for k in range(20):
        shown = queue.next("ann", seed=k)
        assert shown is not None
        repeated.append(shown.repeated)
        queue.record(shown.label("left", "ann"))
    assert repeated == ([False] * 4 + [True]) * 4
    assert len({x.key for x in queue.labels if x.annotator == "ann"}) == 20
    assert queue.agreement().questions == 4


def test_sides_are_thrown_by_chance_and_two_people_seldom_meet(queue: AnnotationQueue) -> None:
    queue.ask(asked(50))
    shown = [queue.next("ann", seed=k) for k in range(200)]
    assert 70 < sum(s.swapped for s in shown if s) < 130
    assert len({s.question.prompt_id for s in shown if s}) > 40


def test_the_latest_round_comes_first_and_then_nothing_waits(queue: AnnotationQueue) -> None:
    queue.ask(asked(2, round=1) + asked(2, round=2))
    rounds = []
    while (shown := queue.next("ann")) is not None:
        rounds.append(shown.question.round)
        queue.record(shown.label("tie", "ann"))
    assert rounds == [2, 2, 1, 1]
    assert queue.next("bob") is None


def test_agreement_is_between_people(queue: AnnotationQueue) -> None:
    one, two = asked(2)
    for label in (by("ann", one), by("bob", one, "second"), by("ann", two, "tie"), by("bob", two, "tie")):
        queue.record(label)
    queue.record(labelled(one, "first", Gold()))
    found = queue.agreement()
    assert (found.questions, found.people, found.share) == (2, 2, 0.5)
    assert queue.agreement("short").questions == 0


# -- what follows ------------------------------------------------------------------------------------------------


def test_pairs_to_learn_from(queue: AnnotationQueue) -> None:
    questions = asked(4)
    for question, answer in zip(questions, ("first", "second", "tie", "skip"), strict=True):
        queue.record(by("ann", question, answer))
    found = queue.pairs("helpful")
    assert [(p.chosen, p.rejected, p.target) for p in found] == [("no", "yes", 1), ("yes", "no", 1), ("no", "yes", 0.5)]
    assert {(p.annotator, p.round, p.weight) for p in found} == {("ann", 1, 1.0)}
    assert queue.pairs("short") == []


def test_older_labels_weigh_less(queue: AnnotationQueue) -> None:
    for round in (1, 2, 3):
        queue.record(replace(by("ann", asked(4, round=round)[round]), strength=2.0))
    assert [p.weight for p in queue.pairs("helpful", half_life=2.0)] == pytest.approx([1.0, 2**0.5, 2.0])
    assert [p.round for p in queue.pairs("helpful", half_life=1.0, round=2)] == [1, 2]
    assert [p.weight for p in queue.pairs("helpful", half_life=1.0, round=2)] == [1.0, 2.0]


def test_the_same_answer_in_two_rounds_counts_once(queue: AnnotationQueue) -> None:
    for round in (2, 1):
        queue.record(labelled(asked(1, round=round)[0], "first", Gold()))
    assert [p.round for p in queue.pairs("helpful")] == [2]


def test_contradictions_are_reported_and_both_kept(queue: AnnotationQueue) -> None:
    one, two, three = asked(3)
    for label in (by("ann", one), by("bob", one, "second"), by("ann", two), by("bob", two, "tie"), by("ann", three)):
        queue.record(label)
    queue.record(by("ann", three, "second"))
    assert [{x.annotator for x in found} for found in queue.contradictions()] == [{"ann", "bob"}, {"ann"}]
    assert queue.contradictions("short") == []
    assert len(queue.pairs("helpful")) == 6


def test_what_was_spent(queue: AnnotationQueue) -> None:
    one, two = asked(2)
    queue.record(replace(labelled(one, "tie", Gold()), cost=0.25))
    queue.record(replace(labelled(two, "first", Gold()), cost=0.5))
    queue.record(by("ann", one, "skip"))
    found = queue.spent()
    assert (found["labels"], found["cost"], found["failed"]) == (3, 0.75, 0)
    assert [(r["annotator"], r["labels"], r["ties"], r["skipped"], r["cost"]) for r in found["rows"]] == [
        ("ann", 1, 0, 1, 0.0),
        ("gold", 2, 1, 0, 0.75),
    ]


def test_thousands_of_labels_are_recorded_quickly(queue: AnnotationQueue) -> None:
    labels = [labelled(q, random.choice(["first", "second"]), Gold()) for q in asked(2000)]
    start = time.process_time()
    for label in labels:
        queue.record(label)
    assert time.process_time() - start < 10
    assert len(queue.labels) == 2000
