"""Traffic as columns, against the records that it is made of."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic_on_disk import pair, scored, served, thumb

from pareto.traffic.latest import latest
from pareto.traffic.log import TrafficLog


def test_columns_say_what_the_records_say(log: TrafficLog) -> None:
    log.add(served("b", time=2.0, arm="candidate", user="u", first_token=None, weights=None, status=499))
    log.add(served("a", time=1.0, features=(0.5, -1.0, 0.1), weights={"vowels": 0.25, "digits": 0.75}))
    log.add(served("c", time=3.0))
    log.add_features("c", np.array([1.0, 2.0, 3.0]))
    scores = {"vowels": 0.5, "digits": math.nan}
    log.add_score(scored("c", time=9.0, scores=scores, spreads={"vowels": 0.2}, predicted={"vowels": 0.4}))
    log.add_score(scored("a", scores={"vowels": 0.1}, spreads={"vowels": 0.9}, flagged=("vowels",)))
    frame = log.frame()
    assert len(frame) == 3
    assert frame.id == ["a", "b", "c"]
    assert frame.time.tolist() == [1, 2, 3]
    assert frame.arm.tolist() == ["main", "candidate", "main"]
    assert frame.user.tolist() == ["", "u", ""]
    assert frame.status.tolist() == [200, 499, 200]
    np.testing.assert_equal(frame.first_token, [0.2, math.nan, 0.2])
    np.testing.assert_equal(frame.weights["vowels"], [0.25, math.nan, 0.5])
    assert frame.scored.tolist() == [True, False, True]
    np.testing.assert_equal(frame.scored_at, [1001, math.nan, 9])
    np.testing.assert_equal(frame.scores["vowels"], [0.1, math.nan, 0.5])
    np.testing.assert_equal(frame.scores["digits"], [math.nan] * 3)
    np.testing.assert_equal(frame.spreads["vowels"], [0.9, math.nan, 0.2])
    np.testing.assert_equal(frame.predicted["vowels"], [math.nan, math.nan, 0.4])
    assert frame.flagged["vowels"].tolist() == [True, False, False]
    assert frame.featured.tolist() == [0, 2]
    np.testing.assert_allclose(frame.features, [[0.5, -1, 0.1], [1, 2, 3]], atol=1e-4)
    assert np.isnan(frame.thumbs).all()
    later = log.frame(since=2.5)
    assert later.id == ["c"]
    assert later.flagged["vowels"].tolist() == [False]
    assert log.frame(features=False).features.shape == (0, 0)


def test_no_traffic_is_an_empty_frame(log: TrafficLog) -> None:
    frame = log.frame()
    assert len(frame) == 0
    assert frame.time.shape == frame.thumbs.shape == (0,)
    assert frame.scores == {}


def test_thumbs_and_wins_are_means_in_which_a_user_counts_once(log: TrafficLog) -> None:
    for k, id in enumerate("abc"):
        log.add(served(id, time=float(k), user="asker"))
    said = [
        thumb("1", "a", 1, user="x"),
        thumb("2", "a", -1, user="x", time=1003.0),  # x thinks again
        thumb("3", "a", 1, user="y"),
        thumb("4", "b", 1, time=1001.0),  # of the asker, who thinks again too
        thumb("5", "b", -1, user="asker"),
        pair("6", "a", "b", user="x"),
        pair("7", "a", "b", 0.5, user="y"),
        pair("8", "b", "c", user="x"),
        pair("9", "c", "b", user="x", time=1003.0),
    ]
    for feedback in said:
        log.add_feedback(feedback)
    frame = log.frame()
    np.testing.assert_equal(frame.thumbs, [0, -1, math.nan])
    np.testing.assert_allclose(frame.wins, [0.75, (0 + 0.5 + 0) / 3, 1])
    # What is said of an older answer counts for the newer one that it was compared with.
    np.testing.assert_allclose(log.frame(since=1.5).wins, [1])


SAID = st.lists(
    st.tuples(st.sampled_from(["", "x", "y"]), st.sampled_from("abc"), st.sampled_from("abc"), st.booleans()),
    max_size=12,
)


@settings(max_examples=60)
@given(SAID)
def test_of_each_user_the_last_word_on_each_question_stays_and_all_of_the_unknown(said) -> None:
    records = [
        thumb(str(k), one, user=user) if thumbs else pair(str(k), one, other, user=user)
        for k, (user, one, other, thumbs) in enumerate(said)
    ]

    def same(f, g) -> bool:
        return f.user != "" and f.user == g.user and f.kind == g.kind and {f.served, f.other} == {g.served, g.other}

    kept = [f for k, f in enumerate(records) if not any(same(f, g) for g in records[k + 1 :])]
    assert {f.id for f in latest(records, {})} == {f.id for f in kept}
