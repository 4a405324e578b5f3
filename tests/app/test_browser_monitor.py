"""*Monitor* in a real browser: before any traffic, with an alarm and two arms, and what strangers wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from explorer import NARROW, no_overflow, settled
from explorer import served as serving
from traffic_monitored import BEGUN, EVIL, N, monitored, traffic_of
from traffic_on_disk import scored, served

from pareto.store.run import Run
from pareto.traffic.log import TrafficLog

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visit = Callable[..., "Page"]
LONG = "A" * 20_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never served, and one with drift and a candidate."""
    root = tmp_path_factory.mktemp("monitored") / "runs"
    monitored(root, "unserved")
    traffic_of(monitored(root))
    return root


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    """Of an explorer on them."""
    with serving(root) as address:
        yield address


def test_before_any_traffic_the_command_that_serves_is_there(root: Path, visit: Visit, address: str) -> None:
    page = visit(f"{address}/monitor?run=unserved", NARROW, "dark")
    page.get_by_text("No traffic yet").wait_for()
    assert page.get_by_test_id("stCode").inner_text().split() == ["pareto", "serve", "unserved", "--root", str(root)]
    no_overflow(page)


def test_alarms_doubts_and_the_candidate_are_seen(root: Path, visit: Visit, address: str) -> None:
    page = visit(f"{address}/monitor?run=beta")
    page.get_by_text(f"4 alarms in {N} requests, {N} scored").wait_for()
    states = page.locator("[data-alarm]").evaluate_all("rows => rows.map(row => row.dataset.state)")
    assert states == ["raised"] * 4 + ["quiet"] * 2
    page.locator(".js-plotly-plot").nth(1).wait_for()
    legend = page.locator(".st-key-monitor_drift .legendtext").all_inner_texts()
    assert len(legend) == states.count("raised")
    page.locator(".st-key-monitor_arms tr", has_text="Rewards of digits").get_by_text("better").wait_for()
    settled(page)
    no_overflow(page)

    with TrafficLog.open(Run.open(root / "beta")) as log:
        log.add(served("evil", time=BEGUN + 60 * N, prompt=f"{EVIL}\x1b\u202e{LONG}", answer="مرحبا بالعالم"))
        log.add_score(scored("evil", spreads={"vowels": 9.0}, flagged=("vowels",)))
    page.reload()
    page.get_by_text(f"in {N + 1} requests").wait_for()
    settled(page)
    row = page.locator(".st-key-monitor_request_flagged_evil details")  # known by its id, it stays open among others
    assert not row.locator(".answer").is_visible()
    row.locator("summary").click()
    shown = row.locator(".said").inner_text()
    assert shown.startswith(f"{EVIL}\\x1b\\u202eAAA")
    assert "more characters" in shown
    assert row.locator(".answer").evaluate("text => getComputedStyle(text).direction") == "rtl"
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    settled(page)
    no_overflow(page)
