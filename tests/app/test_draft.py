"""Priorities in the making: what is complete, what is proposed, and the order."""

import pytest

from app.draft import Draft, added, built, drafts, fresh, moved, step, told, with_objectives
from pareto.choice.candidates import Candidates
from pareto.choice.levels import format_levels, parse_levels
from pareto.config import Rule
from pareto.store.run import Run

NAMES = ("kind", "short", "true")


@pytest.fixture(scope="module")
def candidates(finished):
    return Candidates.of(Run.open("smoke", finished))


@pytest.mark.parametrize("text", ["kind>=0.9;short<=3,true~0.1@mean", "kind>=0.5~0.05@0.8", ""])
def test_levels_come_through_the_form_unchanged(text):
    levels, lacking = built(drafts(parse_levels(text, NAMES)), {"short"})
    assert format_levels(levels) == text
    assert not lacking


def test_a_level_that_asks_nothing_is_named_and_not_in_force():
    forms = [Draft((Rule("kind", 0.9, None),)), Draft((Rule("short", None, None),)), Draft(())]
    levels, lacking = built(forms, set())
    assert format_levels(levels) == "kind>=0.9"
    assert lacking == {1: "give short a threshold or a tolerance", 2: "choose an objective"}


def test_a_new_rule_is_kept_by_the_base_itself(candidates):
    frame = candidates.frame
    for k, name in enumerate(frame.objectives):
        rule = fresh(name, candidates)
        assert rule.threshold is not None
        gap = frame.signs[k] * (frame.centre[k] - rule.threshold)
        assert 0 <= gap <= step(frame.scale[k]) + 1e-9


def test_a_level_is_added_for_an_objective_that_none_names(candidates):
    first, second = candidates.frame.objectives
    forms = added([], candidates)
    assert [r.objective for f in added(forms, candidates) for r in f.rules] == [first, second]


def test_choosing_objectives_keeps_what_was_set(candidates):
    first, second = candidates.frame.objectives
    form = with_objectives(Draft((Rule(first, 0.123, 0.4),)), [second, first], candidates)
    assert form.rules[1] == Rule(first, 0.123, 0.4)
    assert form.rules[0].objective == second


def test_levels_change_places():
    a, b, c = (Draft((Rule(name, 0.0, None),)) for name in NAMES)
    assert moved([a, b, c], 2, -1) == [a, c, b]
    assert moved([a, b, c], 0, 1) == [b, a, c]


@pytest.mark.parametrize(("scale", "wanted"), [(1.0, 0.05), (0.2, 0.01), (30.0, 2.0), (0.017, 0.001)])
def test_steps_are_round(scale, wanted):
    assert step(scale) == pytest.approx(wanted)


def test_a_level_in_words():
    (level,) = parse_levels("kind>=0.36261990141410494~0.1,short<=3@0.99", NAMES)
    assert told(level, {"short"}) == "kind at least 0.3626 and within 0.1 of the best, short at most 3, 99 % sure"
