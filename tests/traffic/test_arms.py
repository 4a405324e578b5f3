import math

import numpy as np
import pytest
from scipy import stats
from traffic_on_disk import pair
from traffic_simulated import arms, frame

from pareto.traffic.arms import compare
from pareto.traffic.frame import Frame

RNG = np.random.default_rng


def simulated(seed: int, gain: float, users: int = 120) -> Frame:
    """Ten measures of three requests per user; the candidate is better by so many standard deviations in all."""
    rng = RNG(seed)
    n = 3 * users
    arm = np.repeat(arms(users, 0.25), 3)
    of_user = np.repeat(rng.standard_normal((users, 2)), 3, axis=0)  # what a user's requests share
    lift = gain * (arm == "candidate")
    scores = {f"o{k}": of_user[:, k % 2] + rng.standard_normal(n) + lift for k in range(4)}
    doubts = {f"o{k}": np.exp(rng.standard_normal(n)) - lift for k in range(2)}
    return frame(
        n,
        arm=arm,
        user=np.repeat([f"u{k}" for k in range(users)], 3),
        scored=np.ones(n, dtype=bool),
        scores=scores,
        spreads=doubts,
        flagged={name: rng.random(n) < 0.08 for name in doubts},
        thumbs=np.where(rng.random(n) < 0.3, np.sign(rng.standard_normal(n) + 0.8 + lift), np.nan),
    )


def test_equal_arms_are_told_apart_no_more_often_than_promised() -> None:
    runs = 200
    false = sum(
        any(m.verdict in ("better", "worse") for m in compare(simulated(seed, 0.0)).measures) for seed in range(runs)
    )
    assert stats.binomtest(false, runs, 0.05, alternative="greater").pvalue > 0.001


def test_a_better_candidate_is_found_better() -> None:
    found = [compare(simulated(seed, 1.0)).measures for seed in range(20)]
    rewards = [m.verdict for measures in found for m in measures if m.name.startswith("reward")]
    assert rewards.count("better") >= 0.9 * len(rewards)
    assert "worse" not in {m.verdict for measures in found for m in measures}


def test_requests_of_one_user_count_once() -> None:
    """Oracle: scipy's t-test on means of users, whichever of Welch's and Student's is more careful."""
    found = simulated(1, 0.3)
    measured = next(m for m in compare(found).measures if m.name == "reward o1")
    means = found.scores["o1"].reshape(-1, 3).mean(axis=1)
    side = found.arm[::3] == "candidate"
    welch, student = (stats.ttest_ind(means[side], means[~side], equal_var=equal) for equal in (False, True))
    careful = min(abs(welch.statistic), abs(student.statistic))
    assert measured.p == pytest.approx(2 * stats.t.sf(careful, welch.df))
    assert measured.difference == pytest.approx(means[side].mean() - means[~side].mean())
    assert measured.low < measured.difference < measured.high
    assert measured.users == (90, 30)
    if student.statistic > welch.statistic:  # then it is Welch's interval
        ends = welch.confidence_interval()
        assert (measured.low, measured.high) == pytest.approx((ends.low, ends.high))


def test_holm_corrects_over_what_is_judged() -> None:
    measures = sorted(compare(simulated(3, 0.5)).measures, key=lambda m: m.p)
    first, last = measures[0], measures[-1]
    assert first.adjusted == pytest.approx(min(1, len(measures) * first.p))
    assert [m.adjusted for m in measures] == sorted(m.adjusted for m in measures)
    assert last.adjusted >= last.p


def test_less_is_better_where_it_is_minimised_and_of_doubts() -> None:
    n = 80
    arm = arms(n, 0.5)
    less = RNG(0).standard_normal(n) - 3 * (arm == "candidate")
    found = frame(
        n, arm=arm, scored=np.ones(n, dtype=bool), scores={"length": less, "kind": less}, spreads={"kind": less},
        flagged={"kind": less > 0},
    )  # fmt: skip
    verdicts = {m.name: m.verdict for m in compare(found, minimised=("length",)).measures}
    assert verdicts == {
        "reward length": "better", "reward kind": "worse", "flagged kind": "better", "spread kind": "better",
    }  # fmt: skip


def test_only_pairs_of_both_arms_tell_which_is_better() -> None:
    n = 60
    found = frame(n, arm=np.where(np.arange(n) % 2, "candidate", "main"), user=np.array([""] * n, dtype=np.str_))
    within = [pair(f"w{k}", f"r{2 * k}", f"r{2 * k + 2}", user=f"p{k}") for k in range(15)]
    across = [pair(f"a{k}", f"r{2 * k + 1}", f"r{2 * k}", user=f"p{k}") for k in range(14)]
    against = [pair("last", "r28", "r29", user="p14")]
    assert compare(found, within).measures == ()
    (wins,) = compare(found, [*within, *across, *against]).measures
    assert (wins.name, wins.users, wins.verdict) == ("pairs", (15, 15), "better")
    assert wins.candidate == pytest.approx(14 / 15)
    assert wins.difference == pytest.approx(13 / 15)
    expected = stats.ttest_1samp([1.0] * 14 + [0.0], 0.5)
    assert wins.p == pytest.approx(expected.pvalue)


def test_few_users_are_no_ground_for_a_verdict() -> None:
    found = frame(24, arm=arms(24, 0.3), thumbs=np.where(arms(24, 0.3) == "candidate", 1.0, -1.0))
    (thumbs,) = compare(found).measures
    assert thumbs.verdict == "too few users"
    assert math.isnan(thumbs.adjusted)
    assert "8" in compare(found).text


def test_arms_in_which_nobody_differs() -> None:
    arm = arms(40, 0.5)
    apart = frame(40, arm=arm, thumbs=np.where(arm == "candidate", 1.0, -1.0))
    assert [m.verdict for m in compare(apart).measures] == ["better"]
    alike = frame(40, arm=arm, thumbs=np.ones(40))
    rounded = frame(40, arm=arm, thumbs=np.where(arm == "candidate", 0.1 + 0.2, 0.3))
    for same in (alike, rounded):
        assert [m.verdict for m in compare(same).measures] == ["no difference seen"]


def test_without_a_candidate_nothing_is_compared() -> None:
    found = compare(frame(30, thumbs=np.ones(30)))
    assert found.measures == ()
    assert found.requests == {"main": 30, "candidate": 0}
    assert compare(frame(0)).users == {"main": 0, "candidate": 0}
