from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.training.process.labels import StepLabel, until
from pareto.training.process.metrics import best_threshold, first_error_f1, position_only, process_report

Place = st.none() | st.integers(0, 4)


def test_the_f1_by_hand() -> None:
    # Three wrong solutions, of which one error is found exactly; two right ones, both passed.
    found = first_error_f1([0, 2, None, None, None], [0, 1, 3, None, None])
    assert found == {"wrong": pytest.approx(1 / 3), "right": 1.0, "f1": pytest.approx(0.5)}
    assert first_error_f1([None] * 4, [0, 1, None, None])["f1"] == 0
    assert first_error_f1([1, None], [1, None])["f1"] == 1
    assert np.isnan(first_error_f1([None], [None])["f1"])


@given(st.lists(Place, min_size=1), st.lists(Place, min_size=2).filter(lambda t: None in t and any(t)))
def test_position_only_is_the_best_random_guess_at_its_place(
    training: list[int | None], true: list[int | None]
) -> None:
    found = position_only(training, true)
    wrong = [t for t in true if t is not None]
    hit = wrong.count(found["place"]) / len(wrong)
    chances = np.linspace(0, 1, 501)
    with np.errstate(invalid="ignore"):
        f1 = 2 * chances * hit * (1 - chances) / (chances * hit + 1 - chances)
    assert found["f1"] == pytest.approx(np.nan_to_num(f1).max(), abs=1e-4)
    places = [t for t in training if t is not None]
    assert all(places.count(found["place"]) >= places.count(t) for t in places)


def report(steps, labels, **more):
    options = {"training": [0, 0, 1], "threshold": 0.5, "how": "min"} | more
    return process_report(steps, labels, [len(s) for s in steps], **options)


def test_a_report_by_hand() -> None:
    labels = [until(1, 3, "x"), until(None, 2, "x"), until(0, 2, "x"), (StepLabel(None, "x"),)]
    steps = [(0.9, 0.2, 0.1), (0.8, 0.7), (0.6, 0.1), (0.0,)]
    made = report(steps, labels)
    assert (made["solutions"], made["steps"], made["wrong_steps"]) == (3, 5, 2)
    assert made["first_error"]["wrong"] == 0.5
    assert made["first_error"]["right"] == 1
    assert made["first_error"]["f1"] == pytest.approx(2 / 3)
    assert made["step_accuracy"] == pytest.approx(4 / 5)
    assert made["step_auc"] == 1
    assert made["solution_auc"] == 1
    assert made["position_only"]["place"] == 0


def test_a_step_without_a_label_is_not_held_against_the_model() -> None:
    labels = [(StepLabel(None, "x"), StepLabel(True, "x")), until(0, 1, "x")]
    assert report([(0.1, 0.9), (0.1,)], labels)["first_error"]["f1"] == 1


def test_nothing_to_tell_by_is_nan() -> None:
    made = report([(0.9,)], [(StepLabel(None, "x"),)])
    assert made["solutions"] == 0
    for value in (made["first_error"]["f1"], made["step_accuracy"], made["step_auc"], made["length"]["steps"]):
        assert np.isnan(value)


def test_a_score_that_falls_with_every_step_shows_as_length_bias() -> None:
    steps = [(0.9,) * k for k in range(1, 9)]
    labels = [until(None, k, "x") for k in range(1, 9)]
    assert report(steps, labels, how="prod")["length"]["steps"] < -0.9
    assert np.isnan(report(steps, labels)["length"]["steps"])


def test_the_interval_covers_the_truth() -> None:
    rng = random.Random(0)
    covered = 0
    for seed in range(40):
        truth = [0 if rng.random() < 0.5 else None for _ in range(150)]
        steps = [(0.1,) if (t == 0) == (rng.random() < 0.8) else (0.9,) for t in truth]
        first = report(steps, [until(t, 1, "x") for t in truth], seed=seed)["first_error"]
        assert first["low"] <= first["f1"] <= first["high"]
        covered += first["low"] <= 0.8 <= first["high"]
    assert covered >= 33


def test_the_threshold_lies_between_right_and_wrong() -> None:
    steps = [(0.95, 0.92), (0.93, 0.72)] * 10
    labels = [until(None, 2, "x"), until(1, 2, "x")] * 10
    assert 0.72 < best_threshold(steps, labels) <= 0.92
    assert best_threshold(steps[:1], labels[:1]) == 0.5
