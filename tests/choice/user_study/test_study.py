"""The user study of a real, finished run: questions, answers, overlap, results."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pareto.choice.user_study.duels import FILE
from pareto.choice.user_study.study import OVERLAP, Study
from pareto.errors import ParetoError
from pareto.frontier import read_frame
from pareto.records import Point
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_rollouts, read_scores


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished, tmp_path / "runs")
    return Run.open("smoke", tmp_path / "runs")


def ask(study: Study, person: str, count: int, seed: int = 0, weights=None) -> list:
    """Answer ``count`` questions by these weights; without, always left."""
    shown = []
    for k in range(count):
        pairing = study.next(person, seed=seed + k)
        likes_left = weights is None or np.dot(pairing.difference, weights) > 0
        study.record(pairing.duel("left" if likes_left else "right", person))
        shown.append(pairing)
    return shown


def validation(run: Run) -> dict[str, Point]:
    return {p.id: p for p in load_points(run) if p.split == "validation"}


def test_a_question_shows_what_was_measured(run: Run) -> None:
    study, points = Study.open(run), validation(run)
    asked = study.next(seed=1)
    assert asked.left_point_id != asked.right_point_id
    assert asked.prompt.split == "validation"
    for name, text, seed in (
        (asked.left_point_id, asked.left_completion, asked.left_seed),
        (asked.right_point_id, asked.right_completion, asked.right_seed),
    ):
        said = read_rollouts(run.rollouts / f"{points[name].scores}.parquet")
        assert (asked.prompt.id, seed, text) in {(r.prompt_id, r.seed, r.text) for r in said}


def test_the_difference_is_that_of_the_two_completions(run: Run) -> None:
    study, points, frame = Study.open(run), validation(run), read_frame(run)
    asked = study.next(seed=1)

    def scored(name: str, seed: int) -> dict[str, float]:
        key = f"{points[name].scores}.parquet"
        (sample,) = (
            r.sample for r in read_rollouts(run.rollouts / key) if (r.prompt_id, r.seed) == (asked.prompt.id, seed)
        )
        table = read_scores(run.scores / key)
        (row,) = (
            k
            for k, at in enumerate(zip(table.prompt_ids, table.samples, strict=True))
            if at == (asked.prompt.id, sample)
        )
        return {name: column[row] for name, column in table.columns.items()}

    left, right = scored(asked.left_point_id, asked.left_seed), scored(asked.right_point_id, asked.right_seed)
    for k, name in enumerate(frame.objectives):
        expected = frame.signs[k] * (left[name] - right[name]) / frame.scale[k]
        assert asked.difference[k] == pytest.approx(0 if np.isnan(expected) else expected)
    assert any(asked.difference)


def test_sides_are_thrown(run: Run) -> None:
    study = Study.open(run)
    asked = [study.next(seed=seed) for seed in range(24)]
    assert 4 < sum(p.swapped for p in asked) < 20
    assert all(p.swapped == (p.left_point_id > p.right_point_id) for p in asked)


def test_the_same_seed_asks_the_same(run: Run) -> None:
    study = Study.open(run)
    assert study.next(seed=5) == study.next(seed=5)


def test_no_question_twice_and_prompts_are_spread(run: Run) -> None:
    study = Study.open(run)
    shown = ask(study, "ann", 12)
    prompts = [p.prompt.id for p in shown]
    assert len({(p.prompt.id, frozenset((p.left_point_id, p.right_point_id))) for p in shown}) == 12
    counts = [prompts.count(p) for p in {*study._rows}]
    assert max(counts) - min(counts) <= 1


def test_only_the_given_points_are_compared(run: Run) -> None:
    two = sorted(validation(run))[:2]
    study = Study.open(run, two)
    assert {study.next(seed=1).left_point_id, study.next(seed=1).right_point_id} == {*two}
    assert study.result().best in two


def test_too_few_points_or_an_unknown_one_are_refused(run: Run) -> None:
    one = sorted(validation(run))[0]
    with pytest.raises(ParetoError, match="at least two"):
        Study.open(run, [one, one])
    with pytest.raises(ParetoError, match="no point 'nobody' with all"):
        Study.open(run, [one, "nobody"])


def test_points_that_never_differ_cannot_be_compared(run: Run) -> None:
    study = Study.open(run)
    twin = replace(study.points[0], id="twin")
    with pytest.raises(ParetoError, match="no question is left"):
        Study(run, study.frame, [study.points[0], twin]).next()


def test_undo_takes_back_the_persons_own_last_answer(run: Run) -> None:
    study = Study.open(run)
    ask(study, "ann", 2)
    ask(study, "bob", 1)
    last = [d for d in study.duels if d.person == "ann"][-1]
    assert study.undo("ann") == last
    assert [d.person for d in study.duels] == ["ann", "bob"]
    assert study.undo("cy") is None
    assert len((run.path / FILE).read_text(encoding="utf-8").splitlines()) == 4


def test_questions_of_others_come_back_so_that_agreement_can_be_measured(run: Run) -> None:
    study = Study.open(run)
    ask(study, "ann", OVERLAP)
    assert study.agreement().text.startswith("no overlap yet")
    shown = ask(study, "bob", 2 * OVERLAP, seed=100)
    repeated = [p for p in shown if "another person" in p.reason]
    assert repeated == [shown[OVERLAP - 1], shown[2 * OVERLAP - 1]]
    texts = {frozenset((d.left_completion, d.right_completion)) for d in study.duels if d.person == "ann"}
    assert all(frozenset((p.left_completion, p.right_completion)) in texts for p in repeated)
    assert study.agreement().questions >= 2


def test_a_repeated_question_has_its_sides_thrown_anew(run: Run) -> None:
    study = Study.open(run)
    (shown,) = ask(study, "ann", 1)
    for k in range(OVERLAP - 1):  # with other texts, so that none of them is ann's question
        study.record(study.live(study.next("bob", seed=k), "one", "two", 0, 0).duel("tie", "bob"))
    again = [study.next("bob", seed=seed) for seed in range(12)]
    assert all("another person" in p.reason for p in again)
    same = [p for p in again if p.left_point_id == shown.left_point_id]
    turned = [p for p in again if p.left_point_id == shown.right_point_id]
    assert same
    assert turned
    assert {p.difference for p in same} == {shown.difference}
    assert {p.difference for p in turned} == {tuple(-x for x in shown.difference)}
    assert {p.left_completion for p in turned} == {shown.right_completion}
    assert {p.swapped for p in same} == {shown.swapped}
    assert {p.swapped for p in turned} == {not shown.swapped}


def test_live_completions_stand_for_their_points_means(run: Run) -> None:
    study, points = Study.open(run), validation(run)
    asked = study.next(seed=1)
    live = study.live(asked, "hello", "bye", 7, 8)
    names = study.frame.objectives
    left, right = (
        study.frame.normalise([points[i].mean[n] for n in names]) for i in (live.left_point_id, live.right_point_id)
    )
    assert live.difference == pytest.approx(left - right)
    assert (live.left_completion, live.right_seed, live.prompt) == ("hello", 8, asked.prompt)


def test_results_are_kept_apart_and_pooled(run: Run) -> None:
    study = Study.open(run)
    first, second = study.frame.objectives[:2]
    m = len(study.frame.objectives)
    ask(study, "ann", 10, weights=np.eye(m)[0])
    ask(study, "bob", 10, seed=30, weights=np.eye(m)[1])
    ann, bob, both = study.result("ann"), study.result("bob"), Study.open(run).result()
    assert ann.weights[first] > both.weights[first] > bob.weights[first]
    assert bob.weights[second] > ann.weights[second]
    assert (ann.duels, bob.duels, both.duels) == (10, 10, 20)
    assert both.person is None


def test_an_export_holds_what_stands(run: Run, tmp_path: Path) -> None:
    study = Study.open(run)
    ask(study, "ann", 3)
    ask(study, "bob", 2, seed=9)
    study.undo("ann")
    assert study.export(tmp_path / "all.jsonl") == 4
    assert study.export(tmp_path / "bob.jsonl", "bob") == 2
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["person"] for line in lines] == ["ann", "ann", "bob", "bob"]


def test_two_hundred_answers_are_quick(run: Run) -> None:
    study = Study.open(run)
    pairing = study.next(seed=0)
    rng = np.random.default_rng(0)
    for k in range(200):
        other = replace(pairing, difference=tuple(rng.normal(size=len(pairing.difference)).tolist()))
        study.record(other.duel("left" if k % 3 else "tie", "ann"))
    began = time.process_time()
    study.result("ann")
    study.next("ann", seed=0)
    assert time.process_time() - began < 0.6  # a tenth of a second each on a quiet machine
