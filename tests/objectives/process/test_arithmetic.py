"""Right, wrong, nothing to check."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.objectives.process.arithmetic import check_step, equations
from pareto.prompts.arithmetic import corrupted, problems

RIGHT = [
    "12 + 7 = 19",
    "Step 2: 12 + 7 = 19.",
    "2. 3 × 4 = 12",
    "- 12 + 7 = 19",
    "* 12 + 7 = 19",
    "3 x 4 = 12",
    "3x4=12",
    "12 ÷ 4 = 3",
    "7 - 12 = -5",
    "7 − 12 = −5",
    "-5 + 7 = 2",
    "5 - -3 = 8",
    "1,200 + 34 = 1,234",
    "$5 + $3 = $8",
    r"\$5 + \$3 = \$8",
    r"\(3 \times 4 = 12\)",
    r"$$\frac{1}{2} + \frac{1}{4} = \frac{3}{4}$$",
    r"6 / \frac{1}{2} = 12",
    r"2 + 3 = \boxed{5}",
    r"2 \text{ apples} + 3 = 5",
    "12 apples + 7 apples = 19 apples in total",
    "5 boxes * 4 apples = 20 apples",
    "She has 12 + 7 = 19 and 19 - 4 = 15.",
    "12 plus 7 is 19",
    "12 divided by 4 equals 3",
    "2 + 3 = 5 = 10 / 2",
    "20% of 50 = 10",
    "20% of 50 is 10",
    "50 * 20% = 10",
    "1/2 of 10 = 5",
    "10 / 50 = 20%",
    "10 / 50 * 100 = 20%",
    "10 / 3 = 3.33",
    "1/3 = 33.3%",
    "0.1 + 0.2 = 0.3",
    "2(3 + 4) = 14",
    "(2)(3) = 6",
    "2^3 = 8",
    "2 ** 3 = 8",
    "**2 + 3 = 5**",
    "3² + 4² = 25",
    "1 1/2 + 1/2 = 2",
    "the total (5 + 3 = 8)",
    "total = 3 * 4 = 12",
    "12 + 7\n= 19",
    "48/2=<<48/2=24>>24",
    "5 + 3 = 8!",
    "12 + 7 = 19 - so we have 19",
    "12 + 7 = 19 (so far)",
    "Week 2: 5 + 3 = 8",
    "(a) 12 + (7) = 19",
    "(iv) 12 + 7 = 19",
    "| 12 + 7 = 19 |",
    "19 = 12 + 7",
    "5 dozen eggs = 5 * 12 = 60 eggs",
    "2 + 3 = 5 parts = 100%",
    "100 miles / 2 hours = 50 mph",
    "3 feet * 12 inches = 36 inches",
    "He earns 2 x $150 = $300.",
]
WRONG = [
    "12 + 7 = 18",
    "Step 2: 12 + 7 = 18.",
    "2 + 3 = 5 + 1 = 6",
    "2 + 3 = 5 = 6",
    "She has 12 + 7 = 19 and 19 - 4 = 16.",
    "12 apples + 7 apples = 18 apples in total",
    "20% of 50 = 11",
    "10 / 3 = 3.34",
    "1 / 4 = 0.3",
    "7 - 12 = 5",
    "$5 + $3 = $9",
    r"\(3 \times 4 = 13\)",
    "12 plus 7 is 18",
    "2 + 2 × 2 = 8",
    "48/2=<<48/2=23>>23",
    "19 = 12 + 8",
    "(a) 12 + 7 = 18",
    "| 12 + 7 = 18 |",
]
NOTHING = [
    "",
    "Answer: 19",
    "There are 12 apples.",
    "x + 12 = 19",
    "x = 7",
    "2x = 10",
    "x -3 = 2",
    "y = 2x + 1",
    "f(2) = 5 + 1",
    "sqrt(16) + 1 = 5",
    "5! = 120",
    "1 hour = 60 minutes",
    "2 hours + 1 hour = 180 minutes",
    "3:4 = 6:8",
    "5 = 6",
    "7 / 2 = 3 remainder 1",
    "7 / 2 = 3 r 1",
    "10 / 3 ≈ 3.3",
    "10 / 3 = about 3",
    "3 + 4 != 8",
    "9**9**9 = 1",
    "5^5^5^5 = 1",
    "2^99999999 = 4",
    "1 / 0 = 0",
    "3 4 + 5 = 12",
    "3,5 + 1 = 4,5",
    "1.2.3 + 1 = 2",
    "3 + = 4",
    "(2) 3 + 4 = 10",
    "(x) 3 + 4 = 10",
    "|3 - 5| = 2",
    "2 = |3 - 5|",
    "((((5 + 3 = ",
    "(" * 3000 + "1 + 1" + ")" * 3000 + " = 3",
    "1" * 5000 + " + 1 = 2",
    "The area is 4 m * 5 m = 20 m^2.",
    "1e3 + 1 = 1001",
    "$1.50 + 75 cents = $2.25",
    "3 + 4 == 8",
    "half of the 20% of the 50 = 10",
    "twice 5 + 3 = 13",
    "Is 3 + 4 > 6?",
    "__import__('os').system('true') + 1 = 2",
]


@pytest.mark.parametrize("text", RIGHT)
def test_right(text: str) -> None:
    assert check_step(text) is True


@pytest.mark.parametrize("text", WRONG)
def test_wrong(text: str) -> None:
    assert check_step(text) is False


@pytest.mark.parametrize("text", NOTHING, ids=lambda t: t[:30])
def test_nothing_to_check(text: str) -> None:
    assert check_step(text) is None


def test_a_chain_says_where_it_is_wrong() -> None:
    text = "So 2 + 3 = 5 + 1 = 6 apples."
    first, second = equations(text)
    assert (text[first.start : first.end], first.right) == ("2 + 3 = 5 + 1", False)
    assert (text[second.start : second.end], second.right) == ("5 + 1 = 6", True)


@given(st.lists(st.integers(0, 99), min_size=2, max_size=6), st.data())
def test_python_computes_the_same(numbers: list[int], data: st.DataObject) -> None:
    signs = [data.draw(st.sampled_from("+-*")) for _ in numbers[1:]]
    expression = str(numbers[0]) + "".join(f" {s} {n}" for s, n in zip(signs, numbers[1:], strict=True))
    stated = eval(expression) + data.draw(st.sampled_from([0, 0, 1, -10]))
    shown = expression.replace("*", data.draw(st.sampled_from(["*", "×", "x", "·", r"\times"])))
    assert check_step(f"{shown} = {stated}") is (eval(expression) == stated)


@given(st.text(alphabet="0123456789+-*/^().,=% x$\\{}of\n", max_size=120))
def test_whatever_is_written_is_read_in_no_time(text: str) -> None:
    start = time.process_time()
    assert check_step(text) in (True, False, None)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("pattern", ["1 + ", "9^", "(", "1 1/", "=", "9" * 9 + ",", "- ", "a b ", "20% of ", "*", "\\"])
def test_long_texts_cost_time_in_proportion(pattern: str) -> None:
    start = time.process_time()
    check_step(pattern * 3000)
    assert time.process_time() - start < 2


def test_labels_agree_with_a_brute_force_oracle() -> None:
    rng = random.Random(0)
    agree = steps = 0
    for problem, _ in zip(problems("oracle"), range(1000), strict=False):
        text = corrupted(problem, rng)[0] if rng.random() < 0.5 else problem.worked
        for line in text.splitlines()[:-1]:
            left, right = line.split(" = ")
            agree += check_step(line) is (eval(left) == int(right))
            steps += 1
    assert steps > 2000
    assert agree == steps
