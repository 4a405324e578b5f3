import json
import math

import numpy as np
import pytest
from scipy.special import expit

from pareto.errors import ParetoError
from pareto.objectives.ensemble.calibration import Calibration, calibrate
from pareto.objectives.ensemble.metrics import auc, calibration_error, calibration_error_by_chance
from pareto.objectives.ensemble.scores import PairScores, pair_scores

Raw = np.ndarray


def labelled(n: int, seed: int = 0, noise: float = 1.0, k: int = 5) -> tuple[Raw, Raw, Raw]:
    """Completions whose quality decides the labels, seen by k members through noise, on scales of their own."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(0, 1.5, (2, n))
    members = quality[..., None] + noise * rng.normal(size=(2, n, k))
    raw = members * np.geomspace(0.1, 10, k) + np.arange(k)
    targets = (rng.random(n) < expit(quality[0] - quality[1])).astype(float)
    return raw[0], raw[1], targets


def made(first: Raw, second: Raw, targets: Raw, rate: float = 0.1) -> Calibration:
    n = len(targets)
    return calibrate(first, second, targets, np.ones(n), [str(i) for i in range(n)], rate)


def scored(calibration: Calibration, first: Raw, second: Raw) -> PairScores:
    return pair_scores(calibration.apply(first), calibration.apply(second))


def test_probabilities_are_right_on_other_pairs() -> None:
    calibration = made(*labelled(2000))
    first, second, targets = labelled(3000, seed=1)
    pairs = scored(calibration, first, second)
    assert calibration_error(pairs.probability, targets) < 0.03
    # What the members say by themselves is far off: their mean is all but one member's, in the wrong unit.
    assert calibration_error(expit((first - second).mean(axis=1)), targets) > 0.1


def test_members_come_to_one_scale_about_zero() -> None:
    first, second, targets = labelled(2000)
    members = made(first, second, targets).apply(np.concatenate([first, second])).members
    assert members.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-9)
    assert members.std(axis=0) == pytest.approx(np.full(5, members.std()), rel=0.15)


def test_more_noise_in_the_labels_makes_smaller_margins() -> None:
    first, second, targets = labelled(2000)
    flipped = np.where(np.random.default_rng(2).random(2000) < 0.25, 1 - targets, targets)
    sure, unsure = (np.abs(scored(made(first, second, t), first, second).margin).mean() for t in (targets, flipped))
    assert unsure < 0.6 * sure


def test_labels_that_are_wrong_now_and_then_leave_the_probabilities_right() -> None:
    rng = np.random.default_rng(3)

    def clear(n: int) -> tuple[Raw, Raw, Raw]:
        margins = rng.normal(0, 8, (n, 1)) + rng.normal(0, 0.5, (n, 5))
        return margins, np.zeros((n, 5)), np.where(rng.random(n) < 0.2, margins[:, 0] < 0, margins[:, 0] > 0) * 1.0

    calibration = made(*clear(600))
    first, second, targets = clear(3000)
    pairs = scored(calibration, first, second)
    assert calibration.lapse == pytest.approx(0.2, abs=0.04)
    assert calibration_error(calibration.probability(pairs), targets) < 0.03
    assert calibration_error(pairs.probability, targets) > 0.06
    assert made(*labelled(2000)).lapse < 0.02


def test_order_of_pairs_and_of_the_two_does_not_matter() -> None:
    first, second, targets = labelled(300)
    one = made(first, second, targets)
    other = made(second[::-1], first[::-1], 1 - targets[::-1])
    assert (other.scale, other.centre) == (pytest.approx(one.scale), pytest.approx(one.centre))
    assert other.spread_threshold == pytest.approx(one.spread_threshold)


def test_a_pair_of_weight_two_counts_as_two() -> None:
    first, second, targets = labelled(300)
    twice = np.where(np.arange(300) < 100, 2.0, 1.0)
    weighted = calibrate(first, second, targets, twice, [str(i) for i in range(300)], 0.1)
    rows = np.r_[np.arange(300), np.arange(100)]
    repeated = made(first[rows], second[rows], targets[rows])
    assert weighted.scale == pytest.approx(repeated.scale, rel=0.01)
    assert weighted.scale != pytest.approx(made(first, second, targets).scale, rel=0.01)


def test_the_thresholds_flag_the_share_that_people_can_review() -> None:
    calibration = made(*labelled(2000), rate=0.2)
    first, second, _ = labelled(3000, seed=1)
    uncertain = calibration.uncertainty(scored(calibration, first, second)) > calibration.uncertainty_threshold
    assert uncertain.mean() == pytest.approx(0.2, abs=0.02)
    assert (calibration.apply(first).spread > calibration.spread_threshold).mean() == pytest.approx(0.2, abs=0.02)
    quantiles = calibration.spread_quantiles
    assert len(quantiles) == 101
    assert list(quantiles) == sorted(quantiles)
    assert quantiles[80] == pytest.approx(calibration.spread_threshold)


def test_uncertainty_is_the_chance_of_being_wrong() -> None:
    calibration = made(*labelled(2000))
    first, second, targets = labelled(4000, seed=1)
    pairs = scored(calibration, first, second)
    wrong, said = (pairs.margin > 0) != (targets > 0.5), calibration.uncertainty(pairs)
    assert (said >= 0).all()
    assert (said <= 1).all()
    for rows in np.array_split(np.argsort(said), 4):
        assert wrong[rows].mean() == pytest.approx(said[rows].mean(), abs=0.04)


def test_the_spread_is_used_where_it_tells_of_errors_and_not_where_it_does_not() -> None:
    first, second, targets = labelled(2000)
    assert not made(first, second, targets).uses_spread
    # Where members disagree most their mean is worth least, here nothing.
    rng = np.random.default_rng(5)
    lost = rng.random(2000) < 0.4
    wild = 4 * rng.normal(size=(2000, 1)) + np.array([-3, 3, 0, 2, -2.0])
    margins = np.where(lost[:, None], wild, 2 * (2 * targets - 1)[:, None] + rng.normal(0, 1.5, (2000, 5)))
    calibration = made(margins, np.zeros((2000, 5)), targets)
    pairs = scored(calibration, margins, np.zeros((2000, 5)))
    wrong = (pairs.margin > 0) != (targets > 0.5)
    assert calibration.uses_spread
    assert calibration.error_auc[1] > calibration.error_auc[0]
    assert auc(calibration.uncertainty(pairs), wrong) > auc(-np.abs(pairs.margin), wrong) + 0.05


def test_one_member_has_no_spread_and_is_calibrated_all_the_same() -> None:
    calibration = made(*labelled(2000, k=1))
    first, second, targets = labelled(3000, seed=1, k=1)
    pairs = scored(calibration, first, second)
    assert (calibration.uses_spread, calibration.spread_threshold) == (False, 0)
    assert calibration_error(pairs.probability, targets) < 2 * calibration_error_by_chance(pairs.probability) + 0.01


@pytest.mark.parametrize("rows", [[0, 1], [0, 1, 2, 3], list(range(12))])
def test_few_pairs_give_numbers_all_the_same(rows: list[int]) -> None:
    first, second, _ = labelled(20)
    better, worse = np.maximum(first, second)[rows], np.minimum(first, second)[rows]
    targets = np.where(np.arange(len(rows)) == 1, 0.5, 1.0)
    calibration = made(better, worse, targets)
    pairs = scored(calibration, better, worse)
    assert np.isfinite([*calibration.scale, *calibration.spread_quantiles, calibration.uncertainty_threshold]).all()
    # Never wrong, so the margins are large, yet no surer than so few pairs allow.
    assert (calibration.probability(pairs) > 0.5).all()
    assert (calibration.probability(pairs) < 0.999).all()
    assert (calibration.uncertainty(pairs) < 0.5).all()
    assert all(math.isnan(x) for x in calibration.error_auc)


def test_members_that_know_the_contrary_are_not_believed() -> None:
    first, second, targets = labelled(500)
    calibration = made(first, second, 1 - targets)
    pairs = scored(calibration, first, second)
    assert np.abs(pairs.margin).max() < 0.2
    assert np.isfinite(calibration.uncertainty(pairs)).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f, s, t: (f, s, np.full(len(t), 0.5)), "nothing to calibrate with: 20 held-out comparisons, 0 of them"),
        (lambda f, s, t: (f[:1], s[:1], t[:1]), "nothing to calibrate with: 1 held-out comparisons"),
        (lambda f, s, t: (f[:0], s[:0], t[:0]), "nothing to calibrate with: 0 held-out comparisons"),
        (lambda f, s, t: (f * [1, 0, 1, 1, 1], s * [1, 0, 1, 1, 1], t), "member 1 scores both completions of every"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(change, says: str) -> None:
    with pytest.raises(ParetoError, match=says):
        made(*change(*labelled(20)))


@pytest.mark.parametrize("n", [6, 400])
def test_json_brings_it_back(n: int) -> None:
    first, second, targets = labelled(n)
    calibration = made(first, second, np.append(targets[1:], 1.0))
    text = json.dumps(calibration.to_json()).replace("NaN", "null")
    back = Calibration.from_json(json.loads(text))
    assert type(back.scale) is tuple
    assert np.array_equal(back.error_auc, calibration.error_auc, equal_nan=True)
    assert {**back.to_json(), "error_auc": 0} == {**calibration.to_json(), "error_auc": 0}
