"""HTML pieces: text stays text, numbers have sensible digits, marks stand where their numbers are."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest

from app.looks import LIGHT
from app.markup.marks import (
    Answer,
    Outcome,
    answers,
    coefficients,
    difference,
    figure,
    mix_bar,
    outcome_bars,
    said,
    score_table,
)

EVIL = "<script>alert(1)</script><img src=x onerror='alert(2)'> & \"quotes\" **bold**"


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "page",
    [
        said(EVIL),
        answers([Answer(EVIL, EVIL, EVIL, True, EVIL)]),
        coefficients({EVIL: 0.5}),
        mix_bar({EVIL: 1.0}, LIGHT),
        score_table([EVIL], [{EVIL: 1.0}], [EVIL], [EVIL], LIGHT),
        outcome_bars([Outcome(EVIL, 0.5, 0.4, 0.6, (0, 1), difference=EVIL, pin=0.5)], LIGHT),
    ],
)
def test_markup_in_names_prompts_and_answers_stays_text(page: str) -> None:
    tags = Tags(page)
    assert not tags.names & {"script", "img"}
    assert EVIL in tags.text or EVIL in unescape(page)


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (0.57938, 0.0092, "0.579"),
        (62.3, 4.1, "62"),
        (0.314, 0.14, "0.31"),
        (-0.654, 0.08, "−0.65"),
        (-0.0001, 0.05, "0.00"),
        (1234.5, 300.0, "1234"),
        (0.5, 0.0, "0.50"),
        (float("nan"), 0.1, "–"),
    ],
)
def test_digits_follow_the_interval(value: float, half: float, shown: str) -> None:
    assert figure(value, half) == shown


def test_a_difference_within_the_noise_is_no_number() -> None:
    assert difference(0.60, 0.03, 0.58, 0.03) == "no clear difference"
    assert difference(0.70, 0.03, 0.58, 0.03) == "+0.12"
    assert difference(0.50, 0.03, 0.58, 0.03) == "−0.08"


def places(page: str, kind: str) -> list[float]:
    return [float(x) for x in re.findall(rf"class='{kind}' style='left:([-\d.]+)%", page)]


def test_better_is_to_the_right_also_where_less_is_better() -> None:
    up = Outcome("up", 0.8, 0.7, 0.9, (0.0, 1.0), base=0.2)
    down = Outcome("down", 20.0, 15.0, 25.0, (10.0, 60.0), base=50.0, better_low=True)
    page = outcome_bars([up, down], LIGHT)
    for mark, base in zip(places(page, "mark"), places(page, "base"), strict=True):
        assert 0 <= base < mark <= 100
    for left, mark in zip(places(page, "interval"), places(page, "mark"), strict=True):
        assert left < mark


def test_shares_of_the_mix_are_the_weights() -> None:
    page = mix_bar({"kind": 0.75, "short": 0.25, "none": 0.0}, LIGHT)
    assert re.findall(r"width:([\d.]+)%", page) == ["75.0", "25.0"]
    assert "kind 75 percent, short 25 percent, none 0 percent" in page


def test_the_table_sets_held_out_measures_apart() -> None:
    scores = [{"kind": 0.9, "gold:kind": 0.1, "gold:kl": 0.4}, {"kind": 0.5, "gold:kind": 0.6, "gold:kl": 0.0}]
    text = Tags(score_table(["Chosen", "Base model"], scores, ["kind"], ["kind"], LIGHT)).text
    assert "kind, held out0.100.60" in text
    assert text.index("held out") > text.index("0.900.50")
