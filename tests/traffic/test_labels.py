"""Feedback as comparisons: what a round can learn from it, and what it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traffic_on_disk import empty_run, pair, served, thumb

from pareto.errors import ParetoError
from pareto.preferences.annotation.files import import_labels
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.preferences.pairs import read_pairs
from pareto.records import Pair
from pareto.store.run import Run
from pareto.traffic.labels import labels, write_labels
from pareto.traffic.log import TrafficLog


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return empty_run(tmp_path)


def answered(log: TrafficLog, answers: Mapping[str, str], prompt: str = "Why?", **changes: Any) -> None:
    for id, answer in answers.items():
        assert log.add(served(id, prompt=prompt, answer=answer, **changes))


def test_pairs_become_the_comparisons_that_rounds_read(log: TrafficLog, run: Run, tmp_path: Path) -> None:
    answered(log, {"a": "Because. ", "b": "No idea\u2028", "c": "Who knows?"}, prompt=" Why? ")
    log.add_feedback(pair("1", "a", "b", objective="vowels", user=log.user_key("ann")))
    log.add_feedback(pair("2", "a", "c", 0.5, objective="vowels"))
    log.add_feedback(pair("3", "b", "c", objective="digits"))
    out = tmp_path / "out.jsonl"
    write_labels(labels(log, run).rows, out)
    by = f"user:{log.user_key('ann')[:16]}"
    assert read_pairs(out).pairs == [
        Pair("Why?", "Because.", "No idea", annotator=by, objective="vowels"),
        Pair("Why?", "Because.", "Who knows?", target=0.5, annotator="user", objective="vowels"),
        Pair("Why?", "No idea", "Who knows?", annotator="user", objective="digits"),
    ]
    queue = AnnotationQueue(tmp_path / "labels")
    assert import_labels(queue, out, "vowels", 1).new == 2
    assert import_labels(queue, out, "vowels", 2).new == 0


def test_thumbs_compare_answers_to_the_same_prompt_by_the_same_objective(log: TrafficLog, run: Run) -> None:
    answered(log, {"a": "good", "b": "bad", "c": "mixed", "d": " good"})
    answered(log, {"e": "lonely"}, prompt="Who?")
    for k, (id, value) in enumerate([("a", 1), ("d", 1), ("b", -1), ("c", 1), ("c", -1), ("e", 1)]):
        log.add_feedback(thumb(str(k), id, value, objective="vowels"))
    log.add_feedback(thumb("9", "b", 1, objective="digits"))
    found = labels(log, run)
    (row,) = found.rows
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("Why?", "good", "bad")
    assert (row["strength"], row["tie"], row["annotator"], row["objective"]) == (1.0, False, "thumbs", "vowels")
    assert found.problems == ["feedback left out (2): the prompt has no answer with the other thumb"]


def test_thumbs_that_disagree_count_less(log: TrafficLog, run: Run) -> None:
    answered(log, {"a": "good", "b": "bad"})
    for k, (id, value) in enumerate([("a", 1), ("a", 1), ("a", -1), ("b", -1)]):
        log.add_feedback(thumb(str(k), id, value, objective="vowels"))
    (row,) = labels(log, run).rows
    assert row["strength"] == pytest.approx((1 / 3 + 1) / 2)


@given(up=st.integers(1, 6), down=st.integers(1, 6))
def test_a_prompt_that_many_ask_gives_no_more_comparisons_than_answers_of_one_kind(up: int, down: int) -> None:
    from pareto.traffic.labels import _matched

    pairs = [*_matched([f"+{k}" for k in range(up)], [f"-{k}" for k in range(down)])]
    assert len(pairs) == len({*pairs}) == max(up, down)
    assert {good for good, _ in pairs} == {f"+{k}" for k in range(up)}
    assert {bad for _, bad in pairs} == {f"-{k}" for k in range(down)}


def test_feedback_that_names_no_objective_counts_as_the_one_that_is_said(log: TrafficLog, run: Run) -> None:
    answered(log, {"a": "good", "b": "bad"})
    log.add_feedback(pair("1", "a", "b"))
    with pytest.raises(
        ParetoError, match=r"feedback left out \(1\): no objective is named; .*--objective NAME.*--traffic NAME=RUN"
    ):
        labels(log, run)
    assert [row["objective"] for row in labels(log, run, "digits").rows] == ["digits"]
    with pytest.raises(ParetoError, match="did you mean 'digits'"):
        labels(log, run, "digit")


def test_who_changes_their_mind_counts_once(log: TrafficLog, run: Run) -> None:
    answered(log, {"a": "one", "b": "two"})
    ann = log.user_key("ann")
    log.add_feedback(pair("1", "a", "b", user=ann, objective="vowels"))
    log.add_feedback(pair("2", "b", "a", user=ann, objective="vowels", time=1003.0))
    assert [row["chosen"] for row in labels(log, run).rows] == ["two"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"prompt": None, "answer": None}, "not stored"),
        ({"answer": " "}, "not stored"),
        ({"turns": 3}, "several turns"),
        ({"n": 2}, "several answers"),
        ({"answer": "good"}, "the same text"),
    ],
)
def test_what_teaches_nothing_is_left_out_and_said(
    log: TrafficLog, run: Run, changes: dict[str, Any], why: str
) -> None:
    log.add(served("a", **{"prompt": "Why?", "answer": "good"} | ({"prompt": None} if "prompt" in changes else {})))
    log.add(served("b", **{"prompt": "Why?", "answer": "bad"} | changes))
    log.add_feedback(pair("1", "a", "b", objective="vowels"))
    with pytest.raises(
        ParetoError, match=rf"run 'smoke': no comparisons in its traffic: feedback left out \(1\): .*{why}"
    ):
        labels(log, run)


def test_feedback_by_an_objective_of_another_run_is_left_out(log: TrafficLog, run: Run) -> None:
    answered(log, {"a": "good", "b": "bad"})
    log.add_feedback(pair("1", "a", "b", objective="kindness"))
    log.add_feedback(pair("2", "a", "b", objective="vowels"))
    assert labels(log, run).problems == ["feedback left out (1): another objective than vowels, digits is named"]


def test_without_feedback_there_are_no_labels(log: TrafficLog, run: Run) -> None:
    with pytest.raises(ParetoError, match="nobody has given feedback"):
        labels(log, run)
