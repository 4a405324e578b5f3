"""The explorer in a real browser, on the finished smoke sweep: what people do on each page, and what they see of it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from explorer import NARROW, WIDE, no_overflow, settled
from forge import Forge, smoke_recipe
from peft_folders import IDS, peft_logits

from pareto.inference.policy import open_policy
from pareto.store.points import load_points
from pareto.store.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visit = Callable[..., "Page"]
Serve = Callable[[Path], str]
pytestmark = pytest.mark.slow
PAGES = ("frontier", "explore", "priorities", "duel", "label", "rounds", "sweep", "export")
SLIDER = ".st-key-w_vowels input[type=range]"
SEEN = Path(os.environ["PARETO_SCREENSHOTS"]) if "PARETO_SCREENSHOTS" in os.environ else None
"""Where the pictures of all pages go that are to be looked at."""


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)], ids=["light-wide", "dark-narrow"])
def test_every_page_opens_in_either_light_and_width(
    smoke_app: str, visit: Visit, tmp_path: Path, scheme: str, size: tuple[int, int]
) -> None:
    page = visit(f"{smoke_app}/?policy=soup-0", size, scheme)
    for name in PAGES:
        page.goto(f"{smoke_app}/{'' if name == 'frontier' else name}?policy=soup-0")
        settled(page)
        page.wait_for_timeout(600)
        no_overflow(page)
        # A full page is what the app scrolls inside the window: a tall window shows all of it.
        tall = page.evaluate("() => document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight")
        page.set_viewport_size({"width": size[0], "height": max(size[1], tall + 40)})
        page.wait_for_timeout(400)
        picture = (SEEN or tmp_path) / f"{name}-{scheme}-{size[0]}.png"
        page.screenshot(path=picture)
        page.set_viewport_size({"width": size[0], "height": size[1]})
        assert len(page.locator("h1").all_inner_texts()) == 1
    background = page.evaluate("() => getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 21, 26)"}[scheme]


def ask(page: Page, text: str) -> None:
    page.get_by_test_id("stChatInputTextArea").fill(text)
    page.keyboard.press("Enter")


def answered(page: Page) -> list[str]:
    """What the voices say, once they have ended and are scored."""
    page.locator("table.scores").wait_for()
    return page.locator(".voice .answer").all_inner_texts()


def mix(page: Page) -> str:
    return page.locator(".mix").get_attribute("aria-label") or ""


def test_a_slider_moves_the_prediction_and_the_live_answer(smoke_app: str, visit: Visit) -> None:
    page = visit(f"{smoke_app}/explore")
    before, mixed = page.locator(".bars").get_attribute("aria-label"), mix(page)
    ask(page, "Say something.")
    first = answered(page)
    assert len(first) == 2
    page.locator(SLIDER).press("End")
    page.wait_for_function("old => document.querySelector('.mix').getAttribute('aria-label') !== old", arg=mixed)
    page.wait_for_function("old => document.querySelector('.bars').getAttribute('aria-label') !== old", arg=before)
    page.wait_for_function(
        "old => document.querySelector('.voice .answer').innerText !== old && document.querySelector('table.scores')",
        arg=first[0],
    )
    second = answered(page)
    assert second[1] == first[1], "the base model says the same under the same random numbers"
    assert "w_vowels=10" in page.url


def test_all_sliders_at_zero_count_the_same_and_say_so(smoke_app: str, visit: Visit) -> None:
    page = visit(f"{smoke_app}/explore?w_vowels=0&w_digits=0")
    assert "50" in mix(page)
    page.get_by_text("Everything at zero: all count the same.").wait_for()


def test_a_click_on_the_plot_chooses_a_policy_everywhere(smoke_app: str, smoke_root: Path, visit: Visit) -> None:
    page = visit(f"{smoke_app}/")
    marks = page.locator(".st-key-chart_slice .points path")
    marks.first.wait_for()
    for k in range(marks.count()):
        box = marks.nth(k).bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(600)
        if "policy=" in page.url:
            break
    settled(page)
    chosen = re.search(r"policy=([\w-]+)", page.url)
    assert chosen is not None
    assert chosen[1] in {p.id for p in load_points(Run.open(smoke_root / "smoke"))}
    for name in ("Explore", "Export"):
        page.get_by_test_id("stTopNavLink").get_by_text(name, exact=True).click()
        page.locator("h1").get_by_text(name, exact=True).wait_for()
        settled(page)
        assert f"policy={chosen[1]}" in page.url
        page.get_by_text(chosen[1]).first.wait_for()


def test_a_priority_turns_policies_grey_and_says_why(smoke_app: str, smoke_root: Path, visit: Visit) -> None:
    means = [p.mean["vowels"] for p in load_points(Run.open(smoke_root / "smoke")) if p.split == "validation"]
    page = visit(f"{smoke_app}/priorities?rules=none")
    assert page.locator(".st-key-excluded").count() == 0
    page.locator(".st-key-add_level button").click()
    settled(page)
    funnel = page.locator(".st-key-funnel").inner_text()
    field = page.locator(".st-key-level_0 input[type=number]").first
    field.fill(f"{sorted(means)[-2]:.3f}")
    field.press("Enter")
    page.wait_for_function(
        "old => document.querySelector('.st-key-funnel').innerText !== old && "
        "document.querySelector('.st-key-excluded')",
        arg=funnel,
    )
    settled(page)
    assert "rules=" in page.url
    assert "vowels" in page.locator(".st-key-excluded").inner_text()
    assert re.search(r"wanted|not surely", page.locator(".st-key-excluded").inner_text())
    page.goto(f"{smoke_app}/priorities?rules=vowels%3E%3D1.5")
    settled(page)
    assert "no feasible policy" in page.locator(".st-key-infeasible").inner_text().lower()
    page.locator(".st-key-relax button").click()
    page.locator(".st-key-proposal").wait_for()


def test_five_duels_with_the_keys_move_the_posterior_and_are_kept(
    smoke_app: str, smoke_root: Path, visit: Visit
) -> None:
    page = visit(f"{smoke_app}/duel")
    page.locator(".st-key-duel_person input").fill("browser")
    page.keyboard.press("Enter")
    page.locator(".st-key-duel_question").wait_for()
    before = page.locator(".st-key-duel_weights").inner_text()
    for key in "abatb":
        counted = page.locator(".st-key-duel_best").inner_text()
        page.wait_for_function("() => document.querySelector('.st-key-vote_a button')?.disabled === false")
        page.keyboard.press(key)
        page.wait_for_function("old => document.querySelector('.st-key-duel_best').innerText !== old", arg=counted)
        settled(page)
    assert page.locator(".st-key-duel_weights").inner_text() != before
    lines = [json.loads(line) for line in (smoke_root / "smoke" / "study" / "duels.jsonl").read_text().splitlines()]
    mine = [line for line in lines if line.get("person") == "browser"]
    assert len(mine) == 5
    assert {"left", "right", "tie"} >= {line["answer"] for line in mine}


def test_an_export_loads_in_plain_peft(smoke_app: str, smoke_root: Path, visit: Visit, tmp_path: Path) -> None:
    page = visit(f"{smoke_app}/export?policy=soup-0")
    page.locator(".st-key-export_prepare button").click()
    button = page.locator(".st-key-export_download button")
    button.wait_for(timeout=120_000)
    with page.expect_download() as waiting:
        button.click()
    with zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes())) as archive:
        archive.extractall(tmp_path)
    (folder,) = {p.parent for p in tmp_path.rglob("adapter_config.json")}
    run = Run.open(smoke_root / "smoke")
    point = next(p for p in load_points(run) if p.id == "soup-0")
    policy = open_policy(run, point)
    list(policy.answer("Name a river in Chad.", max_new_tokens=1))  # what chat does
    with torch.no_grad():
        ours = policy.base.model(IDS).logits
    assert float((peft_logits(policy.base, folder) - ours).abs().max()) <= 1e-4


def test_a_link_shows_the_same_in_another_browser(smoke_app: str, visit: Visit) -> None:
    one = visit(f"{smoke_app}/explore")
    one.locator(SLIDER).press("ArrowRight")
    one.wait_for_function("() => location.search.includes('w_vowels=6')")
    settled(one)
    one.locator(".st-key-pin button").first.click()
    one.wait_for_function("() => location.search.includes('pin=')")
    one.locator(SLIDER).press("End")
    one.wait_for_function("() => location.search.includes('w_vowels=10')")
    settled(one)
    other = visit(one.url)
    assert mix(other) == mix(one)
    assert other.locator(".bars").get_attribute("aria-label") == one.locator(".bars").get_attribute("aria-label")


@pytest.mark.parametrize(
    "query", ["w_vowels=abc&w_digits=999", "policy=../../etc", "rules=%3Cscript%3E", "pin=mix:nobody=1", "run=none"]
)
def test_a_broken_link_falls_back_to_what_is_there(smoke_app: str, visit: Visit, query: str) -> None:
    page = visit(f"{smoke_app}/explore?{query}")
    page.locator(".bars").wait_for()


def test_two_people_at_once_hear_their_own_mixes(smoke_app: str, visit: Visit) -> None:
    links = [f"{smoke_app}/explore?w_vowels=10&w_digits=0", f"{smoke_app}/explore?w_vowels=0&w_digits=10"]
    alone = []
    for link in links:
        page = visit(link)
        ask(page, "Tell me a story.")
        alone.append(answered(page))
    assert alone[0][0] != alone[1][0]
    together = [visit(link) for link in links]
    for page in together:
        ask(page, "Tell me a story.")
    assert [answered(page) for page in together] == alone


def test_weights_stay_in_the_address_of_every_page(smoke_app: str, visit: Visit) -> None:
    page = visit(f"{smoke_app}/explore?w_vowels=9")
    page.get_by_test_id("stTopNavLink").get_by_text("Export", exact=True).click()
    page.wait_for_function("() => location.pathname.endsWith('export') && location.search.includes('w_vowels=9')")
    other = visit(page.url)
    told = []
    for shown in (page, other):
        shown.locator(".st-key-export_policy", has_text="for weights").wait_for()
        told.append(shown.locator(".st-key-export_policy").inner_text())
    assert told[0] == told[1]
    page.get_by_test_id("stTopNavLink").get_by_text("Explore", exact=True).click()
    page.locator(SLIDER).wait_for(state="attached")
    assert page.locator(SLIDER).input_value() == "9"


def test_a_link_compares_two_runs(smoke_root: Path, serve: Serve, visit: Visit, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(smoke_root / "smoke", tmp_path / "runs" / name)
    page = visit(f"{serve(tmp_path / 'runs')}/?run=one&with=two&spread=Ellipses")
    page.locator(".st-key-growth").wait_for()
    page.locator(".st-key-rival", has_text="two").first.wait_for()


HOSTILE = (
    "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script> **bold** [a](javascript:window.hacked=1)"
)


def test_hostile_text_is_shown_and_never_run(forge: Forge, serve: Serve, visit: Visit, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"{n} {HOSTILE} {n * 7919}"}) + "\n" for n in range(24)))
    recipe = smoke_recipe(
        tmp_path,
        name="hostile",
        model={"system": HOSTILE},
        prompts={"sources": [{"file": str(prompts)}], "fractions": [0.4, 0.3, 0.3], "max_tokens": 400},
        training={"steps": 2},
        driver={"trials": 2},
        soups={"count": 1},
    )
    made = forge.run("sweep", recipe, "--root", tmp_path / "runs")
    assert made.code == 0, made.err
    address = serve(tmp_path / "runs")
    page = visit(f"{address}/explore?policy=soup-0")
    ask(page, HOSTILE)
    answered(page)
    assert "<script>" in page.locator(".said").first.inner_text()
    pages = [page]
    page = visit(f"{address}/duel")
    page.locator(".st-key-duel_person input").fill("me")
    page.keyboard.press("Enter")
    page.locator(".st-key-duel_question").wait_for()
    page.locator(".st-key-duel_question", has_text="<script>").first.wait_for()
    pages.append(page)
    page = visit(f"{address}/export?policy=soup-0")
    page.locator(".st-key-export_card", has_text="<script>").first.wait_for()
    pages.append(page)
    pages += [visit(f"{address}/{name}") for name in ("", "priorities", "sweep")]
    for page in pages:
        page.wait_for_timeout(300)
        assert page.evaluate("() => window.hacked") is None
        assert page.locator("main img[src='x'], section.stMain img[src='x']").count() == 0


def test_without_a_run_the_page_says_how_to_make_one_and_makes_it(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    address = serve(tmp_path / "runs")
    page = visit(address)
    page.locator("[data-testid=stMainBlockContainer]", has_text="make demo").first.wait_for()
    page.locator(".st-key-start_sweep button").click()
    page.locator(".st-key-start_progress").wait_for()
    page.locator("h1").get_by_text("Frontier", exact=True).wait_for(timeout=240_000)
    assert (tmp_path / "runs" / "smoke" / "front.json").is_file()
