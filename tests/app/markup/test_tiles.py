"""Figures in words: digits, differences, funnels; nothing from a file becomes markup."""

import pytest

from app.looks import LIGHT
from app.markup import tiles

EVIL = "<script>alert(1)</script>"


@pytest.mark.parametrize(("se", "digits"), [(0.027, 3), (0.27, 2), (12.0, 0), (0.0, 3), (float("nan"), 3)])
def test_two_figures_of_the_error_are_shown(se, digits):
    assert tiles.decimals(se) == digits


def test_a_difference_whose_interval_covers_0_is_not_clear():
    assert tiles.against((0.01, 0.01, 50), 3, "the base") == "no clear difference to the base"
    assert tiles.against((-0.2, 0.05, 50), 2, "the base") == "−0.20 to the base (−0.30 to −0.10)"
    assert tiles.against((float("nan"), float("nan"), 0), 2, "the base") == ""


def test_a_missing_score_is_a_dash():
    made = tiles.tiles(("kind", "short"), LIGHT, {"kind": 0.5, "short": None}, {"kind": 0.1, "short": None}, {})
    assert "0.50<small>±0.10</small>" in made
    assert "–" in made


def test_a_funnel_counts_down():
    made = tiles.funnel([("kind at least 1", 9), ("short", 4)], 13)
    assert "13 <span>→</span> 9 <span>→</span> 4 <span>left" in made
    assert "width:69.2%" in made


def test_words_from_files_are_text():
    row = {"kl": None, "gold": {EVIL: 1.0}, "p_nondominated": None}
    made = [
        tiles.tiles((EVIL,), LIGHT, {EVIL: 1.0}, {EVIL: 0.1}, {EVIL: EVIL}, tiles.extras(row)),
        tiles.funnel([(EVIL, 1)], 2),
        tiles.sheet((EVIL,), [(EVIL,)]),
    ]
    assert not any("<script" in text for text in made)
