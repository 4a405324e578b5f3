from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.training.process.labels import (
    Labels,
    MonteCarlo,
    Sparse,
    StepLabel,
    Verified,
    first_error,
    first_wrong,
    until,
)


def rights(labels: Labels) -> list[bool | float | None]:
    return [label.right for label in labels]


@given(st.integers(1, 300), st.data())
def test_binary_search_finds_the_first_error_in_few_checks(k: int, data: st.DataObject) -> None:
    error = data.draw(st.none() | st.integers(0, k - 1))
    asked: list[int] = []

    def check(j: int) -> bool:
        asked.append(j)
        return error is None or j < error

    assert first_error(check, k) == error
    assert len(asked) <= (1 if error is None else math.ceil(math.log2(k)) + 1)
    assert len(set(asked)) == len(asked)


def test_no_steps_have_no_error() -> None:
    assert first_error(lambda k: pytest.fail("nothing to check"), 0) is None
    assert Verified()("?", "") == ()


def test_verified_leaves_what_computes_nothing_without_a_label() -> None:
    found = Verified()("?", "12 + 7 = 19\n19 - 4 = 16\nAnswer: 16")
    assert rights(found) == [True, False, None]
    assert {label.source for label in found} == {"verified"}


class Given:
    name = "given"

    def __init__(self, *rights: bool | None) -> None:
        self.rights = rights

    def __call__(self, prompt: str, completion: str) -> Labels:
        return tuple(StepLabel(right, self.name) for right in self.rights)


def sparse(every: int, start: int, *rights: bool | None) -> list[bool | float | None]:
    """Labels of a solution for which the first step that is asked about is ``start``."""
    labeller = Sparse(Given(*rights), every)
    text = next(t for t in map(str, range(1000)) if labeller.asked("?", t, len(rights)).start == start)
    assert {label.source for label in labeller("?", text)} == {f"sparse:{every}"}
    return [label.right for label in labeller("?", text)]


def test_a_right_step_makes_those_before_it_right() -> None:
    assert sparse(3, 2, True, True, True, True, True, True, True) == [True] * 6 + [None]
    assert sparse(3, 0, True, True, True, True, True) == [True] * 4 + [None]


def test_what_goes_wrong_in_between_stays_without_a_label() -> None:
    assert sparse(3, 2, True, True, True, False, True, True) == [True, True, True, None, None, True]
    assert sparse(3, 2, True, True, True, True, True, False) == [True, True, True, None, None, False]
    assert sparse(3, 2, True, True, False) == [None, None, False]


def test_a_step_that_nobody_can_check_gets_no_label() -> None:
    assert sparse(3, 2, True, None, True) == [True, None, True]
    assert sparse(2, 1, True, None, True, True) == [True, None, True, True]


@given(st.lists(st.sampled_from([True, False, None]), max_size=12), st.integers(1, 5), st.text(max_size=4))
def test_sparse_labels_are_never_wrong(full: list[bool | None], every: int, text: str) -> None:
    found = [label.right for label in Sparse(Given(*full), every)("?", text)]
    assert len(found) == len(full)
    assert all(said is None or said == true for said, true in zip(found, full, strict=True))
    if every == 1:
        assert found == full


def test_every_step_is_asked_about_somewhere() -> None:
    labeller = Sparse(Verified(), 3)
    assert {labeller.asked("?", str(i), 9).start for i in range(50)} == {0, 1, 2}
    with pytest.raises(ValueError, match="every 0 steps"):
        Sparse(Verified(), 0)


class Continues:
    """Reaches the answer from a prefix without "no", in so many of ten."""

    def __init__(self) -> None:
        self.prefixes: list[str] = []

    def __call__(self, prompt: str, prefix: str, n: int) -> list[bool]:
        self.prefixes.append(prefix)
        return [("no" not in prefix) and k % 2 == 0 for k in range(n)]


def test_monte_carlo_labels_are_the_share_that_reaches_the_answer() -> None:
    source = Continues()
    assert rights(MonteCarlo(source, 10)("?", "a\nno\nc")) == [0.5, 0.0, 0.0]
    assert source.prefixes == ["a", "a\nno", "a\nno\nc"]
    assert rights(MonteCarlo(source, 10, soft=False)("?", "a\nno\nc")) == [True, False, False]


def test_monte_carlo_can_look_for_the_first_error() -> None:
    source = Continues()
    lines = ["yes"] * 20
    lines[13] = "no"
    found = MonteCarlo(source, 4, search=True)("?", "\n".join(lines))
    assert rights(found) == [True] * 13 + [False] + [None] * 6
    assert len(source.prefixes) <= math.ceil(math.log2(20)) + 1
    assert rights(MonteCarlo(source, 4, search=True)("?", "a\nb")) == [True, True]


def test_labels_until_an_error() -> None:
    assert rights(until(1, 4, "x")) == [True, False, None, None]
    assert rights(until(None, 2, "x")) == [True, True]
    assert first_wrong(until(1, 4, "x")) == 1
    assert first_wrong(until(None, 2, "x")) is None
    assert first_wrong((StepLabel(0.5, "x"), StepLabel(0.4, "x"))) == 1
