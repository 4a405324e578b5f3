import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binomtest

from pareto.objectives.ensemble.metrics import (
    accuracy,
    auc,
    brier,
    calibration_error,
    calibration_error_by_chance,
    flagging,
    kept_accuracy,
    log_loss,
    wrong,
)

margins_and_targets = st.lists(
    st.tuples(st.integers(-2000, 2000).map(lambda x: x / 100), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=60,
).map(lambda rows: np.array(rows).T)


def test_calibration_error_is_the_distance_of_what_was_said_from_what_came() -> None:
    rng = np.random.default_rng(0)
    said = np.full(1000, 0.9)
    came = rng.permutation(np.repeat([1.0, 0.0], [700, 300]))
    assert calibration_error(said, came) == pytest.approx(0.2)
    assert calibration_error(said, np.full(1000, 0.9)) == pytest.approx(0)
    # One half said too little, the other too much: they do not cancel.
    said = np.repeat([0.6, 0.95], [300, 400])
    came = np.concatenate([np.ones(300), rng.permutation(np.repeat([1.0, 0.0], [220, 180]))])
    assert calibration_error(said, came) == pytest.approx(0.4, abs=0.01)


def test_exact_probabilities_err_by_chance_only() -> None:
    rng = np.random.default_rng(0)
    said = expit(rng.normal(0, 2, 4000))
    for n in (100, 4000):
        errors = [calibration_error(said[:n], (rng.random(n) < said[:n]).astype(float)) for _ in range(30)]
        assert np.mean(errors) == pytest.approx(calibration_error_by_chance(said[:n]), rel=0.15)
    assert calibration_error_by_chance(said) < 0.02 < calibration_error_by_chance(said[:100])


@given(margins_and_targets)
def test_which_of_two_is_called_the_first_does_not_matter(rows: np.ndarray) -> None:
    margins, targets = rows
    groups = [str(i) for i in range(len(margins))]
    assert log_loss(margins, targets) == pytest.approx(log_loss(-margins, 1 - targets))
    assert brier(expit(margins), targets) == pytest.approx(brier(expit(-margins), 1 - targets))
    one, other = accuracy(margins, targets, groups), accuracy(-margins, 1 - targets, groups)
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), nan_ok=True)
    assert np.isnan(one.value) or 0 <= one.low <= one.value <= one.high <= 1
    # Equal probabilities may fall into one bin or the next, whatever came of them.
    if len(np.unique(np.abs(margins))) == len(margins):
        both = calibration_error(expit(margins), targets), calibration_error(expit(-margins), 1 - targets)
        assert both[0] == pytest.approx(both[1])
        assert 0 <= both[0] <= 1


def test_log_loss_is_that_of_the_probabilities() -> None:
    margins, targets = np.array([0.3, -2.0, 50.0, -800.0]), np.array([1.0, 0.5, 1.0, 1.0])
    p = expit(margins[:3])
    wanted = -(targets[:3] * np.log(p) + (1 - targets[:3]) * np.log1p(-np.minimum(p, 1 - 1e-16)))
    assert log_loss(margins, targets)[:3] == pytest.approx(wanted, abs=1e-12)
    assert log_loss(margins, targets)[3] == pytest.approx(800)


@pytest.mark.parametrize("right", [0, 7, 150, 200])
def test_accuracy_of_independent_pairs_has_wilsons_interval(right: int) -> None:
    margins = np.where(np.arange(200) < right, 1.0, -1.0)
    found = accuracy(margins, np.ones(200), [str(i) for i in range(200)])
    wanted = binomtest(right, 200).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((right / 200, wanted.low, wanted.high), abs=2e-3)


def test_pairs_that_repeat_each_other_make_nothing_surer() -> None:
    margins = np.where(np.arange(60) < 40, 1.0, -1.0)
    once = accuracy(margins, np.ones(60), [str(i) for i in range(60)])
    often = accuracy(np.repeat(margins, 9), np.ones(540), [str(i // 9) for i in range(540)])
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=2e-3)


def test_ties_and_equal_scores() -> None:
    found = accuracy(np.array([1.0, 0.0, -3.0]), np.array([1.0, 1.0, 0.5]), ["a", "b", "c"])
    assert found.value == 0.75
    assert np.isnan(accuracy(np.array([1.0]), np.array([0.5]), ["a"]).value)
    assert wrong(np.array([1.0, 0.0, -1.0, -1.0]), np.array([1.0, 1.0, 1.0, 0.0])).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_auc_counts_the_pairs_of_error_and_no_error_in_order() -> None:
    rng = np.random.default_rng(1)
    score, event = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    gaps = score[event][:, None] - score[~event][None]
    assert auc(score, event) == pytest.approx(((gaps > 0) + (gaps == 0) / 2).mean())
    assert np.isnan(auc(score, np.ones(40, dtype=bool)))


def test_accuracy_of_the_pairs_that_are_kept() -> None:
    errors = np.array([True, False, True, False, False])
    doubt = np.array([0.9, 0.1, 0.5, 0.2, 0.3])
    assert kept_accuracy(doubt, errors, (1.0, 0.8, 0.6, 0.01)) == [0.6, 0.75, 1.0, 1.0]


def test_flagging() -> None:
    errors = np.array([True, True, False, True, False, False, False, False])
    doubt = np.array([0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.1, 0.1])
    found = flagging(doubt, errors, 0.5)
    assert found == pytest.approx({"share": 3 / 8, "errors_flagged": 2 / 3, "errors_rest": 1 / 5, "ratio": 10 / 3})
    none = flagging(doubt, errors, 1.0)
    assert none["share"] == 0
    assert np.isnan(none["errors_flagged"])
    assert np.isnan(flagging(doubt, doubt > 0.75, 0.75)["ratio"])
