"""How quickly the explorer answers: a real server, a real browser, a run's real model.

A slider is moved by its arrow key, always to weights that were not there before; what counts is when the page shows
the new prediction, and when the chosen policy's first new words stand on it. Pages are switched by their links.
"""

from __future__ import annotations

import datetime
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pareto.bench.hardware import hardware
from pareto.bench.processes import started
from pareto.errors import ParetoError
from pareto.store.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROMPT = "What is the capital of Niger?"
BUDGET = {"prediction": 0.3, "first token": 1.5, "page": 1.0}
"""Seconds that the median may take."""
SLIDERS = "[class*=st-key-w_] input[type=range]"
PAGES = ("Frontier", "Priorities", "Duel", "Sweep", "Export", "Explore")


@contextmanager
def served(root: Path, *arguments: str) -> Iterator[str]:
    """``pareto app`` on a folder of runs, on a port of its own; yields its address and ends it after the block.

    Raises:
        ParetoError: it does not start; with what it said.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    words = ("app", *arguments, "--root", str(root), "--port", str(port))
    with started(*words, end=signal.SIGINT, patience=10) as (process, log):
        _wait_for(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"


def settled(page: Page) -> None:
    """Wait until the app has drawn its page and no script is running."""
    page.wait_for_selector("[data-testid=stMainBlockContainer] h1", state="visible")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)


def bench_explorer(run: Run, repeats: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure.

    Args:
        run: a run whose soups can be predicted; its model answers.
        repeats: of every measurement.
        say: told what is measured.

    Returns:
        ``rows``: what, ``median``, ``p90``, ``budget`` in seconds, ``kept``; ``figures``: the medians; ``bench``,
        ``run``, ``model``, ``hardware``, ``date``.

    Raises:
        ParetoError: no browser, or the explorer does not start.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ParetoError("bench explorer drives a browser: pip install playwright") from None
    if CHROMIUM is None:
        raise ParetoError("bench explorer needs Chromium: apt-get install chromium")
    with served(run.path.parent, run.path.name) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(f"{address}/explore")
        settled(page)
        page.locator(SLIDERS).last.wait_for(state="attached")
        say("slider to prediction")
        seconds = {"prediction": [_to_prediction(page, i) for i in range(repeats)]}
        say("slider to the first token of the new policy")
        _ask(page)
        seconds["first token"] = [_to_token(page, repeats + i) for i in range(repeats)]
        say("page to page")
        page.get_by_test_id("stChatInputTextArea").wait_for()
        seconds["page"] = [_to_page(page, PAGES[i % len(PAGES)]) for i in range(repeats)]
        browser.close()
    rows = [
        {
            "what": name,
            "median": float(np.median(taken)),
            "p90": float(np.quantile(taken, 0.9)),
            "budget": BUDGET[name],
            "kept": bool(np.median(taken) <= BUDGET[name]),
        }
        for name, taken in seconds.items()
    ]
    return {
        "bench": "explorer",
        "run": run.name,
        "model": run.recipe.model.base,
        "hardware": hardware(),
        "date": datetime.date.today().isoformat(),
        "rows": rows,
        "figures": {f"{row['what']}, seconds": row["median"] for row in rows},
    }


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise ParetoError(f"the explorer did not start: {log.read_text().strip()}")


def _move(page: Page, turn: int) -> None:
    """One step of a slider to weights that were not there before, so that nothing is remembered.

    Each slider in turn goes five steps up from the middle, then each five steps down.
    """
    sliders = page.locator(SLIDERS)
    lap, k = divmod(turn // 5, sliders.count())
    sliders.nth(k).press("ArrowLeft" if lap % 2 else "ArrowRight")


def _to_prediction(page: Page, turn: int) -> float:
    settled(page)  # a key that is pressed while the page is drawn anew may be lost
    before = page.locator(".bars").first.get_attribute("aria-label")
    began = time.perf_counter()
    _move(page, turn)
    page.wait_for_function("old => document.querySelector('.bars')?.getAttribute('aria-label') !== old", arg=before)
    return time.perf_counter() - began


def _ask(page: Page) -> None:
    page.get_by_test_id("stChatInputTextArea").fill(PROMPT)
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.voice .answer')?.textContent.length > 0")


def _to_token(page: Page, turn: int) -> float:
    """The chosen policy's column tells which mix speaks: what counts are words under the new one."""
    settled(page)
    before = page.locator(".voice .small").first.text_content()
    began = time.perf_counter()
    _move(page, turn)
    page.wait_for_function(
        "old => { const v = document.querySelector('.voice');"
        " return v && v.querySelector('.small').textContent !== old && v.querySelector('.answer').textContent.length }",
        arg=before,
    )
    return time.perf_counter() - began


def _to_page(page: Page, title: str) -> float:
    began = time.perf_counter()
    page.get_by_test_id("stTopNavLink").get_by_text(title, exact=True).click()
    page.locator("h1").get_by_text(title, exact=True).wait_for()
    settled(page)
    return time.perf_counter() - began
