"""Laws of the priorities over more than 2,000 drawn fronts, against the definition worked out by brute force."""

import json
import time

import numpy as np
import pytest
from fronts import NAMES, Front, candidates, fronts, level, misses
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pareto.choice.bounds import lower_bounds
from pareto.choice.candidates import Candidates
from pareto.choice.levels import level_of, parse_levels
from pareto.choice.priorities import Verdict, judge
from pareto.config import Level
from pareto.errors import ParetoError
from pareto.front.frame import Frame


def by_definition(front: Front) -> list[tuple[str, ...]]:
    """What each level keeps, on the mean."""
    kept = front.candidates.ids
    each = []
    for asked in front.levels:
        kept = tuple(i for i in kept if not misses(front, i, asked, kept))
        each.append(kept)
    return each


@settings(max_examples=900)
@given(fronts())
def test_a_returned_policy_never_violates_a_higher_level(front: Front) -> None:
    verdict = judge(front.candidates, front.levels)
    assert [step.kept for step in verdict.steps] == by_definition(front)
    assert verdict.kept == verdict.steps[-1].kept


@settings(max_examples=60)
@given(fronts())
def test_every_excluded_policy_has_its_reason(front: Front) -> None:
    verdict = judge(front.candidates, front.levels)
    assert set(verdict.excluded) | set(verdict.kept) == set(front.candidates.ids)
    assert not set(verdict.excluded) & set(verdict.kept)
    for name in verdict.kept:
        assert all(c.passed and c.short == 0 for c in verdict.checks(name))
    for name, reason in verdict.excluded.items():
        assert name in verdict.steps[reason.level].entered
        assert not reason.passed
        assert reason.short > 0


@settings(max_examples=60)
@given(fronts(confident=True, most=4))
def test_with_confidence_every_level_holds_on_the_bound(front: Front) -> None:
    c = front.candidates
    kept = list(range(len(c.ids)))
    for asked in front.levels:
        assert asked.confidence is not None
        alpha = (1 - asked.confidence) / len(c.ids)
        entered, kept = kept, []
        for i in entered:
            fine = True
            for rule in asked.rules:
                k = NAMES.index(rule.objective)
                sign = c.frame.signs[k]
                floor = 0.0 if sign > 0 else -1.0
                if rule.threshold is not None:
                    bound = lower_bounds(sign * c.scores[[i], :, k], floor, alpha)[0]
                    fine &= bound >= sign * rule.threshold - 1e-8
                for j in entered:
                    if rule.within is not None and j != i:
                        lead = sign * (c.scores[[i], :, k] - c.scores[[j], :, k])
                        fine &= lower_bounds(lead, -1.0, alpha)[0] >= -rule.within - 1e-8
            if fine:
                kept.append(i)
    verdict = judge(c, front.levels)
    assert verdict.kept == tuple(c.ids[i] for i in kept)
    for reason in verdict.excluded.values():
        on_mean = reason.value - reason.wanted if not reason.minimised else reason.wanted - reason.value
        assert reason.by_confidence == (on_mean >= -1e-8)


@settings(max_examples=500)
@given(fronts())
def test_the_smallest_relaxation_is_truly_smallest(front: Front) -> None:
    verdict = judge(front.candidates, front.levels)
    if verdict.kept:
        assert verdict.relaxation is None
        return
    relaxation = verdict.relaxation
    assert relaxation is not None
    entered = front.candidates.ids
    eased = {e.level: e for e in relaxation.eased}
    for at, asked in enumerate(front.levels):
        strict = tuple(i for i in entered if not misses(front, i, asked, entered))
        assert bool(strict) == (at not in eased)
        if strict:
            entered = strict
            continue
        epsilon = eased[at].epsilon
        assert all(misses(front, i, asked, entered, 0.999 * epsilon) for i in entered)
        entered = tuple(i for i in entered if not misses(front, i, asked, entered, epsilon))
        assert entered == eased[at].kept
    assert relaxation.kept == entered != ()
    assert judge(front.candidates, relaxation.levels).kept == relaxation.kept
    assert relaxation.nearest in relaxation.eased[0].kept
    assert relaxation.tightest.level == relaxation.eased[0].level
    assert relaxation.text.startswith("no feasible policy: ")


@settings(max_examples=50)
@given(fronts(confident=True, most=4))
def test_the_relaxation_holds_with_confidence(front: Front) -> None:
    verdict = judge(front.candidates, front.levels)
    if verdict.relaxation is not None:
        assert judge(front.candidates, verdict.relaxation.levels).kept == verdict.relaxation.kept != ()
        first = verdict.relaxation.eased[0]
        asked = verdict.relaxation.levels[first.level]
        tighter = [  # every rule that moved, moved back by a thousandth
            new._replace(
                threshold=None if new.threshold is None else new.threshold + 0.001 * (old.threshold - new.threshold),
                within=None if new.within is None else new.within + 0.001 * (old.within - new.within),
            )
            for new, old in zip(asked.rules, front.levels[first.level].rules, strict=True)
        ]
        levels = [*front.levels[: first.level], level_of(tighter, {"b"}, asked.confidence)]
        assert set(judge(front.candidates, levels).kept) < set(first.kept)


@settings(max_examples=400)
@given(fronts(), level(confident=False))
def test_adding_a_level_never_enlarges_what_is_kept(front: Front, more: Level) -> None:
    kept = judge(front.candidates, front.levels).kept
    assert set(judge(front.candidates, [*front.levels, more]).kept) <= set(kept)


@settings(max_examples=200)
@given(fronts(within=False), level(confident=False, within=False), st.integers(0, 3))
def test_a_threshold_added_anywhere_never_enlarges_what_is_kept(front: Front, more: Level, at: int) -> None:
    kept = judge(front.candidates, front.levels).kept
    levels = [*front.levels[:at], more, *front.levels[at:]]
    assert set(judge(front.candidates, levels).kept) <= set(kept)


def in_other_units(front: Front, order: list[int], k: int, unit: float) -> Front:
    c = front.candidates
    units = np.where(np.arange(3) == k, unit, 1.0)
    frame = Frame(c.frame.objectives, c.frame.signs, c.frame.centre, tuple(units * c.frame.scale), c.frame.reference)
    ids = tuple(c.ids[i] for i in order)
    other = Candidates(ids, c.scores[order] * units, frame, c.lowest * units, c.highest * units)

    def scaled(x: float | None, name: str) -> float | None:
        return None if x is None else x * float(units[NAMES.index(name)])

    levels = tuple(
        level_of(
            [
                r._replace(threshold=scaled(r.threshold, r.objective), within=scaled(r.within, r.objective))
                for r in asked.rules
            ],
            {"b"},
            asked.confidence,
        )
        for asked in front.levels
    )
    return Front(other, levels)


def same_whatever_order_and_unit(front: Front, seed: int, k: int, unit: float) -> None:
    order = np.random.default_rng(seed).permutation(len(front.candidates.ids)).tolist()
    other = in_other_units(front, order, k, unit)
    one, two = judge(front.candidates, front.levels), judge(other.candidates, other.levels)
    assert set(one.kept) == set(two.kept)
    if seed % 5 == 0:
        same_reasons(one, two)
    if one.relaxation is not None:
        assert two.relaxation is not None
        assert set(one.relaxation.kept) == set(two.relaxation.kept)
        assert one.relaxation.nearest == two.relaxation.nearest
        assert [e.epsilon for e in one.relaxation.eased] == pytest.approx([e.epsilon for e in two.relaxation.eased])


def same_reasons(one: Verdict, two: Verdict) -> None:
    assert {i: (r.level, r.rule.objective, r.rival) for i, r in one.excluded.items()} == {
        i: (r.level, r.rule.objective, r.rival) for i, r in two.excluded.items()
    }


@settings(max_examples=300)
@given(fronts(), st.integers(0, 99), st.integers(0, 2), st.sampled_from([1000.0, 0.001]))
def test_neither_the_order_of_points_nor_a_unit_changes_anything(front: Front, seed: int, k: int, unit: float) -> None:
    same_whatever_order_and_unit(front, seed, k, unit)


@settings(max_examples=25)
@given(fronts(confident=True, most=4), st.integers(0, 99), st.integers(0, 2))
def test_nor_with_confidence(front: Front, seed: int, k: int) -> None:
    same_whatever_order_and_unit(front, seed, k, 1000.0)


def harmless(right: int, of: int = 100) -> np.ndarray:
    """Scores of 1 and 0 in every objective, (of, 3)."""
    return np.repeat((np.arange(of) < right).astype(float)[:, None], 3, axis=1)


def clopper_pearson(right: int, of: int, alpha: float) -> tuple[float, float]:
    return stats.beta.ppf(alpha, right, of - right + 1), stats.beta.isf(alpha, right + 1, of - right)


def test_reasons_are_told_in_the_objectives_own_units() -> None:
    c = candidates(np.stack([harmless(93), harmless(99)]))
    (reason,) = judge(c, parse_levels("a>=0.95@mean", NAMES)).excluded.values()
    low, high = clopper_pearson(93, 100, 0.025)  # two candidates share 0.05
    assert reason.text == f"a: 0.93, at least 0.95 wanted, short by 0.02; interval {low:.2f}–{high:.2f}"
    (reason,) = judge(c, parse_levels("b<=0.95@mean", NAMES)).excluded.values()
    low, high = clopper_pearson(99, 100, 0.025)
    assert reason.text == f"b: 0.99, at most 0.95 wanted, over by 0.04; interval {low:.2f}–{high:.2f}"
    (reason,) = judge(c, parse_levels("a~0.04@mean", NAMES)).excluded.values()
    assert reason.text.startswith("a: 0.93, within 0.04 of p1 (0.99) wanted, short by 0.02; interval ")


def test_what_confidence_excludes_is_told_with_the_prompts_that_would_decide() -> None:
    c = candidates(harmless(193, 200)[None])
    verdict = judge(c, parse_levels("a>=0.95@0.99875", NAMES))  # one candidate at 0.00125
    reason = verdict.excluded["p0"]
    assert reason.by_confidence
    low, _ = clopper_pearson(193, 200, 0.00125)
    assert reason.text == (
        f"a: 0.96, at least 0.95 is reached on average but not surely (lower bound {low:.2f}); "
        "about 1,600 more prompts would decide"
    )
    assert verdict.relaxation is not None
    assert verdict.relaxation.more_prompts == reason.more_prompts
    more = reason.more_prompts
    assert more is not None
    for prompts, kept in ((200 + round(0.95 * more), ()), (200 + round(1.05 * more), ("p0",))):
        longer = candidates(harmless(round(prompts * 0.965), prompts)[None])
        assert judge(longer, parse_levels("a>=0.95@0.99875", NAMES)).kept == kept


def test_a_distance_by_confidence_alone_names_the_rival_and_the_prompts() -> None:
    rng = np.random.default_rng(0)
    c = candidates(rng.beta(4, 2, (2, 60, 3)))
    better = int(c.means[:, 0].argmax())
    verdict = judge(c, parse_levels("a~0.1", NAMES))
    reason = verdict.excluded[f"p{1 - better}"]
    assert reason.by_confidence
    assert reason.rival == f"p{better}"
    assert reason.low < reason.wanted <= reason.value < reason.high
    assert reason.more_prompts is not None
    again = candidates(np.tile(c.scores, (1, 2 + reason.more_prompts // 60, 1)))
    assert set(judge(again, parse_levels("a~0.1", NAMES)).kept) == {"p0", "p1"}


def test_a_policy_without_a_score_is_out_and_says_so() -> None:
    scores = np.full((2, 4, 3), 0.5)
    scores[0, :, 0] = np.nan
    for text in ("a>=0.1@mean", "a~0.5@mean", "a>=0.1@0.6"):
        verdict = judge(candidates(scores), parse_levels(text, NAMES))
        assert "p0" in verdict.excluded
        assert "no score on any of these prompts" in verdict.excluded["p0"].text
    scores[1, :, 0] = np.nan
    with pytest.raises(ParetoError, match="level 1: no policy has scores in a"):
        _ = judge(candidates(scores), parse_levels("a>=0.1", NAMES)).relaxation


def test_no_levels_keep_all() -> None:
    c = candidates(np.zeros((3, 2, 3)))
    assert judge(c, ()).kept == c.ids


def test_mistakes_are_told_in_one_line() -> None:
    c = candidates(np.zeros((1, 2, 3)))
    with pytest.raises(ParetoError, match="unknown objective 'd'"):
        judge(c, [Level(objectives=("d",), at_least=0.5)])
    with pytest.raises(ParetoError, match="'b' is minimised: give at_most"):
        judge(c, [Level(objectives=("b",), at_least=0.5)])
    with pytest.raises(ParetoError, match="no policy 'p7'"):
        judge(c, ()).checks("p7")


def test_a_verdict_is_plain_json() -> None:
    c = candidates(np.stack([harmless(50), harmless(60)]))
    for text in ("a>=0.3,b<=0.9;c~0.3", "a>=0.9;b<=0.1;c~0@mean"):
        body = json.loads(json.dumps(judge(c, parse_levels(text, NAMES)).to_json()))
        assert body["candidates"] == 2
        assert (body["relaxation"] is None) == bool(body["kept"])


def test_a_change_of_a_threshold_is_judged_at_once() -> None:
    rng = np.random.default_rng(0)
    c = candidates(rng.beta(5, 1, (40, 400, 3)))
    judge(c, parse_levels("a>=0.8;b<=0.9;c>=0.8~0.05", NAMES))
    began = time.process_time()
    judge(c, parse_levels("a>=0.7;b<=0.95;c>=0.75~0.05", NAMES))
    assert time.process_time() - began < 0.1
