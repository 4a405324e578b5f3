"""What a browser test waits for and looks at: the explorer as people meet it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pareto.bench.explorer import CHROMIUM, served
from pareto.bench.explorer import settled as drawn

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["CHROMIUM", "NARROW", "WIDE", "no_overflow", "served", "settled"]

WIDE, NARROW = (1280, 900), (390, 844)


def settled(page: Page) -> None:
    """Wait until the app has drawn its page and nothing is running; no exception box may be there."""
    drawn(page)
    page.wait_for_timeout(150)
    assert page.get_by_test_id("stException").count() == 0


def no_overflow(page: Page) -> None:
    """Nothing is wider than the window."""
    wider = page.evaluate("() => document.scrollingElement.scrollWidth - window.innerWidth")
    assert wider <= 0, f"{wider} pixels too wide"
