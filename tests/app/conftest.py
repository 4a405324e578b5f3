"""A real browser on real servers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from explorer import CHROMIUM, WIDE, served, settled
from exploring import script
from streamlit.testing.v1 import AppTest

from pareto.store.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.fail("these tests need Chromium: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def smoke_root(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs of its own with the finished smoke sweep."""
    root = tmp_path_factory.mktemp("explored") / "runs"
    shutil.copytree(finished / "smoke", root / "smoke")
    return root


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Iterator[Run]:
    """A smoke sweep of its own."""
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    yield Run.open(tmp_path / "smoke")
    st.cache_resource.clear()  # ends the engine


@pytest.fixture
def app(run: Run) -> AppTest:
    """Explore on it, without a browser."""
    app = AppTest.from_function(script, args=(str(run.path),), default_timeout=60).run()
    assert not app.exception
    return app


@pytest.fixture(scope="session")
def smoke_app(smoke_root: Path) -> Iterator[str]:
    """Address of the explorer on the smoke sweep."""
    with served(smoke_root) as address:
        yield address


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Starts an explorer of its own on a folder of runs."""
    with ExitStack() as stack:
        yield lambda root: stack.enter_context(served(root))


@pytest.fixture
def visit(browser: Browser, serve: Callable[[Path], str]) -> Iterator[Callable[..., Page]]:
    """Opens a page in a fresh session; at the end, no page may have had an error, or asked anything of another host.

    Ends before the servers of ``serve`` do: a page without its server complains.
    """
    troubles: list[str] = []
    with ExitStack() as stack:

        def open_page(url: str, size: tuple[int, int] = WIDE, scheme: Any = "light") -> Page:
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, accept_downloads=True
            )
            stack.callback(context.close)
            page = context.new_page()
            stack.callback(lambda: print(page.inner_text("body")))  # shown where the test fails
            page.set_default_timeout(90_000)  # shared machines
            host = url.split("/")[2]
            page.on("console", lambda m: troubles.append(f"console: {m.text}") if error(m) else None)
            page.on("pageerror", lambda e: troubles.append(f"page error: {e}"))
            page.on("dialog", lambda d: (troubles.append(f"dialog: {d.message}"), d.dismiss()))

            def asked(request: Any) -> None:
                if request.url.startswith("http") and request.url.split("/")[2] != host:
                    troubles.append(f"another host: {request.url}")

            page.on("request", asked)
            page.goto(url)
            settled(page)
            return page

        yield open_page
    assert not troubles, troubles


def error(message: ConsoleMessage) -> bool:
    """Whether a line of the console is one; Streamlit looks for its server's path by asking beneath the page's own."""
    probing = ("/_stcore/health", "/_stcore/host-config")
    return message.type == "error" and not message.location.get("url", "").endswith(probing)
