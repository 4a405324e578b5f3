"""Explore in a real browser: a question moves the weights, and the best of several answers is shown with the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from explorer import no_overflow, settled

from pareto.inference.auto_weights.learning import learn
from pareto.store.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_question_moves_the_weights_before_it_is_answered(
    smoke_root: Path, serve: Callable[[Path], str], visit: Callable[..., Page], tmp_path: Path
) -> None:
    shutil.copytree(smoke_root / "smoke", tmp_path / "smoke")
    learn(Run.open(tmp_path / "smoke"), "provocations:vowels=1;sums:vowels=1")  # every prompt wants the one expert
    page = visit(f"{serve(tmp_path)}/explore")
    page.get_by_text("Settings").click()
    draws = page.locator(".st-key-draws [role=slider], .st-key-draws input[type=range]").first
    draws.press("ArrowRight")
    settled(page)
    page.keyboard.press("Escape")
    page.locator(".st-key-auto_weights label").click()
    page.get_by_text("Ask something: the weights come from what you ask.").wait_for()
    settled(page)
    page.get_by_test_id("stChatInputTextArea").fill("What is <b>12</b> + 30?")
    page.keyboard.press("Enter")
    page.get_by_text("Nearest prompts: ").wait_for()
    page.locator("table.scores").wait_for()
    settled(page)
    assert "vowels 100 percent" in (page.locator(".mix").get_attribute("aria-label") or "")
    chosen = page.locator(".voice").first.inner_text()
    assert "mix 50 / 50" not in chosen, "the answer is the moved policy's"
    assert "The best of 2 answers." in chosen
    page.locator(".st-key-explore_candidates summary").click()
    rows = page.locator(".candidates tbody tr")
    rows.first.wait_for()
    assert rows.count() == 2
    no_overflow(page)
