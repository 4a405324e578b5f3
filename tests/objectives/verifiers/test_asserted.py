from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.objectives.verifiers.asserted import bare, last_answer, number


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12 + 7 = 19\nAnswer: 19", "19"),
        ("Answer: 18. No, wait.\nAnswer: 19", "19"),
        ("**Answer:** 19", "19"),
        ("Answer: **19**.", "19"),
        ("The answer is 19.", "19"),
        ("The final answer is: $19$", "19"),
        ("So the answer to the question is 19 because 12 + 7 = 19.", "19"),
        ("Answer:\n19", "19"),
        ("Work.\n#### 19", "19"),
        (r"Thus \boxed{19}.", "19"),
        (r"Answer: 18. Thus \boxed{19}", "19"),
        (r"\boxed{18}" + "\nAnswer: 19", "19"),
        (r"Answer: $\boxed{\frac{1}{2}}$", r"\frac{1}{2}"),
        (r"\boxed{\text{Paris}}", "Paris"),
        ("12 + 7 = 19", "19"),
        ("6 * 2 = 12\n12 + 7 = 19.", "19"),
        ("19", "19"),
        ("19\n", "19"),
        ("Answer: 19 or 20", "19 or 20"),
        ("The answer is not 19", "not 19"),
        ("Answer: 3.5", "3.5"),
        ("Answer: 12 + 7 = 19", "12 + 7 = 19"),
        ("", None),
        ("   \n ", None),
        ("First I add.\nThen I stop.", None),
        (r"\boxed{19", None),
        ("Answer: " + "9" * 2000, None),
    ],
)
def test_the_last_answer_that_is_asserted(text, answer):
    assert last_answer(text) == answer


@given(st.text(alphabet="answer is:=\\boxed{}19$*.\n #-+/^"))
def test_any_text_has_a_short_bare_answer_or_none(text):
    found = last_answer(text)
    assert found is None or (0 < len(found) <= 1000 and bare(found) == found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("19", 19),
        ("-19", -19),
        ("+19", 19),
        ("19.0", 19),
        (".5", Fraction(1, 2)),
        ("1,234.5", Fraction(2469, 2)),
        ("3/4", Fraction(3, 4)),
        (r"-\frac{3}{4}", Fraction(-3, 4)),
        ("$19", 19),
        ("19 apples", 19),
        ("19 red apples", 19),
        ("3/0", None),
        ("1,23", None),
        ("1e9", None),
        ("19 or 20", None),
        ("2 million", None),
        ("2 pi", None),
        ("12 + 7", None),
        ("", None),
        (".", None),
        ("-", None),
        ("1" * 1001, None),
    ],
)
def test_plain_numbers_have_a_value(text, value):
    assert number(text) == value


@given(st.fractions())
def test_a_written_fraction_has_its_own_value(value):
    assert number(str(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_a_written_decimal_has_its_own_value(value):
    assert number(f"{value:,}") == number(str(value)) == Fraction(value)
