"""Steps as HTML: the text stays what it was, and what is known of a step does not hang on colour."""

from __future__ import annotations

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from app.live.steps import Verdict
from app.looks import DARK, LIGHT
from app.markup.steps import css, legend, stepped

EVIL = "<script>alert(1)</script>'\""


def plain(page: str) -> str:
    """The text as it is seen."""
    page = re.sub(r"<span class='(?:unseen|sign)'[^>]*>[^<]*</span>", "", page)
    return unescape(re.sub(r"<[^>]*>", "", page))


def spans(cuts: list[int]) -> list[Verdict]:
    at = sorted(set(cuts))
    rights = (True, False, None)
    return [Verdict(a, b, rights[i % 3]) for i, (a, b) in enumerate(zip(at[::2], at[1::2], strict=False))]


@given(st.text(max_size=40), st.lists(st.integers(0, 60), max_size=8))
def test_the_text_is_never_changed(text: str, cuts: list[int]) -> None:
    assert plain(stepped(text, spans(cuts))) == text


def test_hostile_steps_stay_text() -> None:
    page = stepped(EVIL + EVIL, [Verdict(0, len(EVIL), False), Verdict(len(EVIL), 2 * len(EVIL), True)])
    assert "<script" not in page
    assert plain(page) == EVIL + EVIL


def test_a_verdict_is_a_word_and_a_sign_too() -> None:
    page = stepped("1+1=2 1+1=3 hm", [Verdict(0, 5, True), Verdict(6, 11, False, 0.2), Verdict(12, 14, None)])
    assert "Step 1, right: " in page
    assert "Step 2, wrong, 20 percent likely to be right: " in page
    assert "Step 3, unchecked: " in page
    assert page.count("✓") == page.count("✗") == 1


def test_the_legend_names_what_is_there_and_who_says_so() -> None:
    assert legend([(), ()]) == ""
    ruled = legend([(Verdict(0, 1, True),), (Verdict(0, 1, None),)])
    assert "arithmetic" in ruled
    assert "wrong" not in ruled
    assert "process reward model" in legend([(Verdict(0, 1, False, 0.1),)])


def test_the_kinds_differ_in_line_in_either_light() -> None:
    for look in (LIGHT, DARK):
        assert "wavy" in css(look)
        assert "dotted" in css(look)
        assert look.colour(2) in css(look)
