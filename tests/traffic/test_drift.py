import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest

from pareto.traffic.drift import Drift, Excess, threshold_for

NUMBERS = st.lists(st.integers(-3, 3).map(float), max_size=40)


def normal(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return shift + np.random.default_rng(seed).standard_normal(n)


@given(NUMBERS, NUMBERS, st.integers(0, 40), st.sampled_from(["high", "any"]))
def test_many_at_once_are_as_one_after_another(reference: list[float], values: list[float], cut: int, tails) -> None:
    at_once, parts, singly = (Drift(reference, tails=tails, threshold=3, seed=1) for _ in range(3))
    found = at_once.extend(values)
    np.testing.assert_allclose(np.concatenate([parts.extend(values[:cut]), parts.extend(values[cut:])]), found)
    np.testing.assert_allclose([singly.update(v) for v in values], found)
    assert at_once.since == parts.since == singly.since


@given(NUMBERS, st.lists(st.floats(-3, 3), min_size=1, max_size=300))
def test_a_place_is_the_rank_among_all_before(reference: list[float], values: list[float]) -> None:
    found = Drift(reference).places(np.array(values))
    for k, value in enumerate(values):
        before = [*reference, *values[:k]]
        below, equal = sum(b < value for b in before), sum(b == value for b in before) + 1
        assert below <= found[k] * (len(before) + 1) <= below + equal


def test_places_are_uniform_whatever_the_distribution_and_its_ties() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.poisson(1.0, 4000).astype(float), np.exp(3 * rng.standard_normal(4000)), np.zeros(4000)):
        assert kstest(Drift(values[:100]).places(values[100:]), "uniform").pvalue > 0.001


def test_the_evidence_is_the_sum_over_all_beginnings() -> None:
    values = normal(30, 3)
    drift, oracle = Drift(normal(20, 4), tails="high", seed=5), Drift(normal(20, 4), tails="high", seed=5)
    p = 1 - oracle.places(values)
    powers = np.arange(1, 10) / 10
    sums = np.zeros(9)
    for k, evidence in enumerate(drift.extend(values)):
        sums = (1 + sums) * powers * p[k] ** (powers - 1)
        assert 10**evidence == pytest.approx(sums.mean())


def test_undrifted_traffic_raises_no_more_alarms_than_promised() -> None:
    chance, requests, runs = 0.2, 300, 400
    raised = 0
    for seed in range(runs):
        drift = Drift(normal(50, seed), threshold=threshold_for(chance, requests), seed=seed)
        drift.extend(normal(requests, 10_000 + seed))
        raised += drift.alarm
    assert binomtest(raised, runs, chance, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize(("shift", "tails"), [(1.5, "high"), (1.5, "any"), (-1.5, "any")])
def test_a_planted_shift_is_found_soon_and_dated(shift: float, tails) -> None:
    for seed in range(20):
        drift = Drift(normal(200, seed), tails=tails, threshold=1e6, seed=seed)
        drift.extend(normal(2000, 100 + seed))
        assert not drift.alarm
        drift.extend(normal(200, 200 + seed, shift))
        assert drift.since is not None
        assert 2000 <= drift.since < 2200


def test_a_change_in_the_middle_is_found() -> None:
    for seed in range(10):
        drift = Drift(normal(200, seed), threshold=1e6, seed=seed)
        drift.extend(np.concatenate([normal(1000, 100 + seed), 0.1 * normal(200, 200 + seed)]))
        assert drift.since is not None
        assert drift.since >= 1000


def test_what_is_less_strange_is_no_drift_in_the_high_tail() -> None:
    drift = Drift(normal(200, 0), tails="high")
    drift.extend(normal(1000, 1, -2.0))
    assert not drift.alarm


def test_an_alarm_stays_and_evidence_does_not_overflow() -> None:
    drift = Drift(np.zeros(10), tails="high", threshold=1e6)
    evidence = drift.extend(np.arange(1.0, 3001.0))  # each stranger than all before
    assert evidence[-1] > 400  # 10^308 is the largest double
    since = drift.since
    drift.extend(np.zeros(3000))
    assert drift.since == since
    assert np.isfinite(drift.extend([1.0])).all()


def test_nothing_yet() -> None:
    drift = Drift([])
    assert drift.extend([]).shape == (0,)
    assert not drift.alarm
    assert np.isfinite(drift.update(1.0))


def test_an_allowed_share_raises_no_alarm_and_a_larger_one_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        usual, more = Excess(0.1), Excess(0.1)
        usual.extend(rng.random(5000) < 0.1)
        more.extend(rng.random(1000) < 0.25)
        assert not usual.alarm
        assert more.alarm


def test_a_share_cannot_be_told_from_one_that_nothing_exceeds() -> None:
    nearly_all = Excess(0.99)
    nearly_all.extend([True] * 200)
    assert not nearly_all.alarm
