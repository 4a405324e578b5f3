"""A real server and what a browser test waits for: the explorer as people meet it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from forge import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, NARROW = (1280, 900), (390, 844)


@contextmanager
def served(root: Path, log: Path, *arguments: str) -> Iterator[str]:
    """``pareto app`` on a folder of runs, on a port of its own, until the block ends."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with log.open("wb") as out:
        command = [sys.executable, "-m", "pareto.cli", "app", *arguments, "--root", str(root), "--port", str(port)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=root.parent, env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if time.monotonic() > until or process.poll() is not None:
                    pytest.fail(f"the explorer did not start:\n{log.read_text()}", pytrace=False)
                time.sleep(0.1)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def settled(page: Page) -> None:
    """Wait until the app has drawn its page and nothing is running; no exception box may be there."""
    page.get_by_test_id("stApp").wait_for()
    page.wait_for_selector("[data-testid=stMainBlockContainer] h1", state="visible")
    page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
    page.wait_for_timeout(150)
    assert page.get_by_test_id("stException").count() == 0


def no_overflow(page: Page) -> None:
    """Nothing is wider than the window."""
    wider = page.evaluate("() => document.scrollingElement.scrollWidth - window.innerWidth")
    assert wider <= 0, f"{wider} pixels too wide"
