"""What a record says in words."""

from __future__ import annotations

from pareto.rounds.flags import flags, stop_reason


def test_a_gap_names_its_objective_with_what_proxy_and_gold_say(record):
    found = [line for line in flags(record(1), None) if line.startswith("kind: the proxy")]
    # Of the two selected policies: (1.9 + 0.9) / 2 and (0.2 + 0.1) / 2.
    assert len(found) == 1
    assert "the proxy says +1.40, gold says +0.15" in found[0]
    assert "gap +1.25, +1.15 to +1.35" in found[0]


def test_a_gap_within_its_interval_or_no_larger_than_before_is_no_flag(record, interval):
    unsure = record(1, gap={"mean": interval(0.1, 0.2), "by_objective": {"kind": interval(0.1, 0.2), "short": None}})
    assert not any("the proxy says" in line for line in flags(unsure, None))
    assert not any("the proxy says" in line for line in flags(record(2), record(1)))
    smaller = record(1, gap={"mean": interval(0.5), "by_objective": {"kind": interval(0.5), "short": None}})
    assert any("+0.50 the round before" in line for line in flags(record(2), smaller))


def test_disagreement_beyond_chance_names_its_objective(record):
    found = [line for line in flags(record(1), None) if "disagree" in line]
    assert len(found) == 1
    assert found[0].startswith("kind: the reward models disagree on 30%")
    assert "10% were expected" in found[0]


def test_an_objective_without_gold_says_so(record):
    assert any(line.startswith("short: it has no gold reward") for line in flags(record(1), None))


def test_a_dropped_member_is_named(record):
    found = record(1)
    found["rewards"]["kind"] = found["rewards"]["kind"] | {"dropped": [{"member": 2, "why": "its loss became NaN"}]}
    assert "kind: member 2 was dropped: its loss became NaN" in flags(found, None)


def test_it_stops_when_the_gain_is_no_more_than_noise_or_the_gap_widens(record, interval):
    assert stop_reason(record(1), None) is None
    assert stop_reason(record(2), interval(0.0)) is None
    assert "gained +0.05" in stop_reason(record(2, gain=interval(0.05, 0.1)), interval(0.0))
    assert "gained −0.50" in stop_reason(record(2, gain=interval(-0.5, 0.1)), interval(0.0))
    assert "widened by 0.40 (0.30 to 0.50)" in stop_reason(record(2), interval(0.4))
