"""Problems of several steps: worked answers follow from the question, mistakes are where they are said to be."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from fractions import Fraction
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.prompts.arithmetic import LARGEST, Problem, corrupted, problems, right_by_luck
from pareto.prompts.packaged import packaged_prompts
from pareto.prompts.split import SPLITS, group_near_duplicates, split_prompts
from pareto.records import Prompt

LINE = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)")


@pytest.fixture(scope="module")
def packaged() -> list[Prompt]:
    return packaged_prompts("arithmetic")


def right(line: str) -> bool:
    """Whether an operation's line is true."""
    match = LINE.fullmatch(line)
    assert match, line
    a, sign, b, value = match.groups()
    x, y = int(a), int(b)
    return {"+": x + y, "-": x - y, "*": x * y}[sign] == int(value)


def lines(text: str) -> tuple[list[str], int]:
    """The operations of a worked answer and what it answers."""
    *operations, last = text.split("\n")
    return operations, int(last.removeprefix("Answer: "))


drawn = st.builds(
    lambda seed, low, more, skip: next(islice(problems(seed, (low, low + more)), skip, None)),
    st.integers(0, 10_000),
    st.integers(2, 5),
    st.integers(0, 2),
    st.integers(0, 3),
)


@given(drawn)
def test_a_worked_answer_is_right_in_every_line_and_each_line_goes_on_from_the_others(problem: Problem) -> None:
    operations, answer = lines(problem.worked)
    assert all(right(line) for line in operations)
    numbers = [[int(n) for n in re.findall(r"\d+", line)] for line in operations]
    assert answer == numbers[-1][-1] == problem.answer
    # What is computed with is in the question or was computed before, and nothing is left over.
    there = Counter(int(n) for n in re.findall(r"\d+", problem.text))
    for a, b, value in numbers:
        there.subtract([a, b])
        there[value] += 1
    assert +there == Counter([answer])
    assert min(there.values()) == 0
    assert all(1 <= value <= LARGEST for _, _, value in numbers)


@given(drawn)
def test_an_expression_has_the_value_that_python_gives_it(problem: Problem) -> None:
    match = re.fullmatch(r"(?:Compute|What is|Calculate|Work out|How much is) ([-+*() \d]+)[.?]", problem.text)
    if match:
        assert Fraction(eval(match[1])) == problem.answer


@given(drawn, st.integers())
def test_a_corrupted_answer_has_its_first_and_only_wrong_line_where_it_says(problem: Problem, seed: int) -> None:
    text, at = corrupted(problem, Random(seed))
    operations, answer = lines(text)
    assert [k for k, line in enumerate(operations) if not right(line)] == [at]
    assert len(operations) == len(problem.operations)
    assert answer != problem.answer
    assert operations[:at] == problem.worked.split("\n")[:at]


@given(drawn, st.integers())
def test_a_lucky_answer_is_right_with_a_wrong_line(problem: Problem, seed: int) -> None:
    text, at = right_by_luck(problem, Random(seed))
    operations, answer = lines(text)
    assert answer == problem.answer
    assert [right(line) for line in operations].index(False) == at
    assert min(int(n) for line in operations for n in re.findall(r"\d+", line)) >= 0


def test_every_number_of_steps_asked_for_is_drawn_and_both_ways_of_asking() -> None:
    found = list(islice(problems(0, (2, 5)), 400))
    assert {len(p.operations) for p in found} == {2, 3, 4, 5}
    told = [p for p in found if "Then" in p.text]
    assert 120 < len(told) < 280
    assert len({re.sub(r"\d+", "#", p.text) for p in told}) > 100


def test_a_seed_draws_the_same_everywhere_and_no_calculation_twice() -> None:
    first, again, other = (list(islice(problems(seed), 2000)) for seed in (1, 1, 2))
    assert first == again
    assert first[:20] != other[:20]
    assert len({p.text for p in first}) == len(first)
    # Models are cached by pareto.config.sft.EXAMPLES: raise it when this changes.
    text = "\n".join(p.text + p.worked for p in islice(problems("sft 0"), 200))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "89a85b819cb0f9b6"


def test_what_is_trained_on_shares_no_calculation_with_the_packaged_prompts(packaged: list[Prompt]) -> None:
    trained = {tuple(lines(p.worked)[0]) for p in islice(problems("sft 0"), 5000)}
    asked = {tuple(lines(p.demonstrations[0])[0]) for p in packaged}
    assert len(asked) == len(packaged)
    assert not trained & asked


def test_the_packaged_set_has_answers_worked_and_splits_well(packaged: list[Prompt]) -> None:
    assert len(packaged) == 900
    for p in packaged:
        (worked,) = p.demonstrations
        operations, answer = lines(worked)
        assert all(right(line) for line in operations)
        assert p.answers == (str(answer),)
    sizes = Counter(group_near_duplicates([p.text for p in packaged], 0.85))
    assert max(sizes.values()) <= 25
    split = Counter(p.split for p in split_prompts(packaged, (0.4, 0.2, 0.4), 0.85))
    assert all(abs(split[s] / 900 - share) < 0.08 for s, share in zip(SPLITS, (0.4, 0.2, 0.4), strict=True))
