import numpy as np
import pytest
from fronts import NAMES, candidates

from pareto.choice.levels import format_levels, parse_levels
from pareto.choice.priorities import judge


def test_each_empty_level_is_loosened_and_the_next_goes_on_with_what_is_left() -> None:
    means = np.array([[0.5, 0.9, 0.2], [0.6, 0.4, 0.1], [0.6, 0.8, 0.9], [0.1, 0.0, 1.0]])
    c = candidates(np.repeat(means[:, None], 4, axis=1))  # scales 0.25, 0.5, 2
    relaxation = judge(c, parse_levels("a>=0.7@mean;b<=0.6@mean;c>=0.5~0.1@mean", NAMES)).relaxation
    assert relaxation is not None
    assert [(e.level, e.kept) for e in relaxation.eased] == [(0, ("p1", "p2")), (2, ("p1",))]
    assert [e.epsilon for e in relaxation.eased] == pytest.approx([0.1 / 0.25, 0.4 / 2])
    assert relaxation.levels[0].rules[0].threshold == pytest.approx(0.6)
    assert relaxation.levels[1] == parse_levels("b<=0.6@mean", NAMES)[0]
    # The distance stood in nobody's way: p1 alone is its own best.
    (rule,) = relaxation.levels[2].rules
    assert (rule.threshold, rule.within) == (pytest.approx(0.1), 0.1)
    assert (relaxation.kept, relaxation.nearest) == (("p1",), "p1")
    assert relaxation.tightest.rule.objective == "a"
    assert relaxation.more_prompts is None
    assert relaxation.text == (
        "no feasible policy: level 1 leaves none; p1 comes nearest "
        "(a: 0.60, at least 0.7 wanted, short by 0.10; interval 0.20–0.87). "
        "Asking only a at least 0.600 on level 1 and c at least 0.10 on level 3 would leave p1."
    )
    assert judge(c, parse_levels(format_levels(relaxation.levels), NAMES)).kept == ("p1",)


def test_the_tightest_rule_is_the_one_furthest_off_in_base_deviations() -> None:
    c = candidates(np.full((1, 4, 3), 0.5))
    relaxation = judge(c, parse_levels("a>=0.6,c>=0.9@mean", NAMES)).relaxation
    assert relaxation is not None
    assert relaxation.tightest.rule.objective == "a"  # 0.1 / 0.25 against 0.4 / 2
    assert [r.threshold for r in relaxation.levels[0].rules] == pytest.approx([0.5, 0.5])


def test_where_confidence_excludes_the_prompts_that_would_decide_are_told() -> None:
    # p0 misses by confidence alone; p1 comes nearer on the bound, since it is steady, but misses on the mean.
    steady = np.full(200, 0.84)
    lucky = (np.arange(200) < 176).astype(float)
    c = candidates(np.repeat(np.stack([lucky, steady])[:, :, None], 3, axis=2))
    verdict = judge(c, parse_levels("a>=0.85@0.9999", NAMES))
    assert verdict.relaxation is not None
    assert verdict.relaxation.nearest == "p1"
    assert verdict.relaxation.more_prompts == verdict.excluded["p0"].more_prompts
    assert verdict.relaxation.text.endswith("more prompts may let another through.")


def test_who_misses_a_level_by_confidence_alone_is_not_there_for_the_levels_below() -> None:
    sure = np.tile([0.9, 0.5, 0.5], (40, 1))
    unsure = np.tile([[0.0, 0.1, 0.5], [0.52, 0.1, 0.5]], (20, 1))
    c = candidates(np.stack([sure, unsure]))
    verdict = judge(c, parse_levels("a>=0.25@0.95;b<=0@mean", NAMES))
    assert verdict.steps[0].kept == ("p0",)
    assert verdict.relaxation is not None
    assert verdict.relaxation.kept == ("p0",)
    assert judge(c, verdict.relaxation.levels).kept == ("p0",)
