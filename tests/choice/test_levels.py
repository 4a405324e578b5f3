import pytest
from fronts import NAMES, level
from hypothesis import given
from hypothesis import strategies as st

from pareto.choice.levels import format_levels, parse_levels
from pareto.config import Level
from pareto.errors import ParetoError


@given(st.lists(level(confident=False) | level(confident=True), max_size=4))
def test_what_is_written_reads_back_exactly(levels: list[Level]) -> None:
    text = format_levels(levels)
    read = parse_levels(text, NAMES)
    assert read == tuple(levels)
    assert format_levels(read) == text


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_every_number_survives(threshold: float, within: float) -> None:
    (read,) = parse_levels(format_levels([Level(objectives=("a",), at_least=threshold, within=within)]), NAMES)
    assert read.rules == (("a", threshold, within),)


def test_the_grammar() -> None:
    text = "harmless>=0.9@0.99; honest >= 0.5 ~ 0.05, length<=40 ;x-1~-0@mean"
    levels = parse_levels(text, ("harmless", "honest", "length", "x-1"))
    assert [(tuple(one.rules), one.confidence) for one in levels] == [
        ((("harmless", 0.9, None),), 0.99),
        ((("honest", 0.5, 0.05), ("length", 40.0, None)), 0.95),
        ((("x-1", None, 0.0),), None),
    ]
    levels[1].check_directions({"length"})
    assert format_levels(levels[:2]) == "harmless>=0.9@0.99;honest>=0.5~0.05,length<=40"


def test_one_number_for_all_objectives_of_a_level_is_written_for_each() -> None:
    asked = Level(objectives=("a", "c"), at_least=0.5, within={"c": 0.1})
    assert format_levels([asked]) == "a>=0.5,c>=0.5~0.1"


def test_no_text_no_levels() -> None:
    assert parse_levels("  ", NAMES) == ()
    assert format_levels(()) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a>=0.5;harmles>=0.9", "priorities, level 2: unknown objective 'harmles'; did you mean 'harmless'?"),
        ("a>=high", "level 1: 'high' in 'a>=high' is not a number; wanted one such as 0.9"),
        ("a>=", "level 1: '' in 'a>=' is not a number"),
        ("a>=nan", "'nan' in 'a>=nan' is not a number"),
        ("a>=inf", "'inf' in 'a>=inf' is not a number"),
        ("a", "level 1: 'a' is not a rule; wanted NAME>=NUMBER"),
        ("a>0.5", "'a>0.5' is not a rule"),
        ("a=0.5", "'a=0.5' is not a rule"),
        ("a~-0.1", "'a~-0.1': the distance after ~ must be 0 or more"),
        ("a>=0.5,a~0.1", "'a' stands twice"),
        ("a>=0.5;", "level 2: is empty; wanted a rule such as a>=0.9"),
        ("a>=0.5,", "'' is not a rule"),
        ("a>=0.5@95", "'@95' is not a confidence; wanted one above 0.5 and below 1, or @mean"),
        ("a>=0.5@", "'@' is not a confidence"),
        ("a>=0.5@sure", "'@sure' is not a confidence"),
    ],
)
def test_each_mistake_has_its_line(text: str, told: str) -> None:
    with pytest.raises(ParetoError) as caught:
        parse_levels(text, ("a", "harmless"))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
