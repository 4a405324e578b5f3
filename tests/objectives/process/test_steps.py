from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.objectives.process.steps import split_steps


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        (" \n ", []),
        ("12 + 7 = 19\n19 - 4 = 15\nAnswer: 15", ["12 + 7 = 19", "19 - 4 = 15", "Answer: 15"]),
        ("Step 1: Add.\n12 + 7 = 19\nStep 2: Take away.\n19 - 4 = 15\nAnswer: 15",
         ["Step 1: Add.\n12 + 7 = 19", "Step 2: Take away.\n19 - 4 = 15", "Answer: 15"]),
        ("Step 1: 2 + 2 = 4. Step 2: 4 + 1 = 5.", ["Step 1: 2 + 2 = 4.", "Step 2: 4 + 1 = 5."]),
        ("**Step 1:** add\n\n**Step 2:** stop", ["**Step 1:** add", "**Step 2:** stop"]),
        ("Let us see.\n1. First 2 + 2 = 4\n   so four\n2. Then 4 + 1 = 5",
         ["Let us see.", "1. First 2 + 2 = 4\n   so four", "2. Then 4 + 1 = 5"]),
        ("1) one\n2) two\n10) not the third", ["1) one", "2) two\n10) not the third"]),
        ("1.5 + 2 = 3.5\n3.5 - 1 = 2.5", ["1.5 + 2 = 3.5", "3.5 - 1 = 2.5"]),
        ("We add:\nso 2 + 2 = 4.\n\nThen we\nstop.", ["We add:\nso 2 + 2 = 4.", "Then we\nstop."]),
        ("12 + 7 = 19\n19 - 4 = 15\n\nAnswer: 15", ["12 + 7 = 19", "19 - 4 = 15", "Answer: 15"]),
        ("2 + 2 = 4\n4 + 1 = 5\nso five\n\nThe answer is 5.",
         ["2 + 2 = 4", "4 + 1 = 5", "so five", "The answer is 5."]),
        ("First 2 + 2 = 4. Then 4.5 + 1 = 5.5. So it is 5.5.",
         ["First 2 + 2 = 4.", "Then 4.5 + 1 = 5.5.", "So it is 5.5."]),
        ("Mr. Smith has 3. He is glad, e.g. 5 times.", ["Mr. Smith has 3.", "He is glad, e.g. 5 times."]),
        ("a\r\nb", ["a", "b"]),
    ],
)  # fmt: skip
def test_steps(text: str, steps: list[str]) -> None:
    assert [step.text for step in split_steps(text)] == steps


@given(st.text(alphabet="ab19 .\n=#*:)stepS1", max_size=80) | st.text(max_size=40))
def test_nothing_is_lost_and_nothing_told_twice(text: str) -> None:
    at = 0
    for step in split_steps(text):
        assert not text[at : step.start].strip()
        assert step.text == text[step.start : step.end] == step.text.strip() != ""
        at = step.end
    assert not text[at:].strip()


def test_a_rule_of_many_marks_is_split_at_once() -> None:
    began = time.process_time()
    for mark in "_*#>":
        split_steps(f"Name:\n{mark * 5000}\n1 + 1 = 2")
    assert time.process_time() - began < 2
