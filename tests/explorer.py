"""What a browser test waits for and looks at: the explorer as people meet it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pareto.bench.explorer import CHROMIUM, served
from pareto.bench.explorer import settled as drawn

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["CHROMIUM", "NARROW", "WIDE", "no_overflow", "served", "settled"]

WIDE, NARROW = (1280, 900), (390, 844)
UNCHANGED = """() => {
    const now = document.body.innerText + document.querySelectorAll("*").length;
    if (window.drawn !== now) [window.drawn, window.since] = [now, performance.now()];
    return performance.now() - window.since > 500;
}"""
"""Neither words nor elements have changed for half a second: Streamlit draws code, lists and sliders after the rest."""


def settled(page: Page) -> None:
    """Wait until nothing runs and what is drawn late has come; no exception box may be there."""
    drawn(page)
    page.wait_for_function(UNCHANGED, polling=100, timeout=60_000)
    assert page.get_by_test_id("stException").count() == 0


def no_overflow(page: Page) -> None:
    """Nothing is wider than the window."""
    wider = page.evaluate("() => document.scrollingElement.scrollWidth - window.innerWidth")
    assert wider <= 0, f"{wider} pixels too wide"
