"""*Label* and *Rounds* in a real browser: by keyboard, as two people at once, before there is any run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from explorer import NARROW, no_overflow, served, settled
from forge import until
from rounds_on_disk import flagged, record, series

from pareto.recipe_file import read_recipe
from pareto.rounds.store import Rounds
from pareto.store.files import write_json

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visit = Callable[..., "Page"]
EVIL = "<img src=x onerror=alert(1)>"
TEXTS = {f"{EVIL} {k}?": (f"One {EVIL} **{k}**", f"Two $x_{k}$") for k in range(4)}
SMOKE = Path(__file__).parents[2] / "sweeps" / "smoke.yaml"


@pytest.fixture
def rounds(tmp_path: Path) -> Rounds:
    """A series that waits for people in its first round: there is no run yet."""
    recipe = read_recipe(SMOKE)
    return series(tmp_path / "runs", recipe, recipe.names, texts=TEXTS)


@pytest.fixture
def address(rounds: Rounds) -> Iterator[str]:
    """Of an explorer on its folder."""
    with served(rounds.path.parent) as address:
        yield address


def test_two_people_label_by_keyboard_before_there_is_a_run(rounds: Rounds, visit: Visit, address: str) -> None:
    queue = rounds.queue
    ada, bob = visit(f"{address}/label"), visit(f"{address}/label?person=Bob", NARROW, "dark")
    ada.get_by_label("Your name").fill("Ada")
    ada.get_by_role("button", name="Begin").click()
    ada.get_by_role("button", name="Undo").wait_for()
    settled(ada)  # the keys work once the buttons stand
    ada.keyboard.press("a")
    until(lambda: len(queue.labels) == 1, 60)
    ada.get_by_text("1 of 4, 3 wait").wait_for()
    bob.keyboard.press("t")
    until(lambda: len(queue.labels) == 2, 60)
    settled(ada)
    ada.keyboard.press("u")
    ada.get_by_text("Your last answer is taken back").wait_for()
    assert [(x.annotator, x.answer) for x in queue.labels] == [("Bob", "tie")]
    ada.reload()
    settled(ada)
    ada.locator("[data-role=prompt]").wait_for()
    assert EVIL in ada.locator("[data-role=prompt]").inner_text()
    settled(bob)
    no_overflow(bob)


def test_rounds_are_shown_and_doubts_settled_on_a_narrow_page(
    rounds: Rounds, visit: Visit, address: str, smoke_root: Path
) -> None:
    names = rounds.recipe.names
    for number in (1, 2, 3):
        write_json(rounds.record_path(number), record(number, rounds.name, names))
    rounds.review.flag(flagged(names[0], TEXTS, [[0.1, 1.2, 0.4]] * 4))
    shutil.copytree(smoke_root / "smoke", rounds.path.parent / "smoke-round-1")
    page = visit(f"{address}/rounds?run=smoke-round-1", NARROW)
    page.get_by_text("Three rounds: hypervolume under gold 1.9 → 2.6").wait_for()
    page.locator(".js-plotly-plot").nth(4).wait_for()
    settled(page)
    no_overflow(page)
    page.get_by_role("button", name="Settle: bad").first.click()
    until(lambda: len(rounds.review.settled) == 1, 60)
    page.get_by_text("3 completions on which").wait_for()
    settled(page)
