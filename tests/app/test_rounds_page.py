import shutil
from pathlib import Path

import pytest
from rounds_on_disk import FLAG, asked, flagged, label, record, series
from streamlit.testing.v1 import AppTest

from app.charts.rounds import gaps, shades, themed, volumes
from app.looks import DARK, LIGHT
from app.markup.rounds import headline, line_of_members
from app.round_records import rounds as checked
from pareto.errors import ParetoError
from pareto.rounds import figures
from pareto.rounds.store import Rounds
from pareto.store.files import write_json
from pareto.store.run import Run

EVIL = "<img src=x onerror=alert(1)>"
TEXTS = {f"Say {k}.": (f"So {k}.", f"Other {k}.") for k in range(6)}
NAMES = ("vowels", "brevity")


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """A folder with the finished smoke sweep, to be changed."""
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    return tmp_path / "runs"


def made(root: Path, rounds: int = 3) -> Rounds:
    """A series with so many finished rounds; the sweep of the first is there as a run."""
    recipe = Run.open(root / "smoke").recipe
    if not (root / "smoke-round-1").exists():
        shutil.copytree(root / "smoke", root / "smoke-round-1")
    return series(root, recipe, recipe.names, rounds)


def shown(root: Path, run: str | None = "smoke-round-1") -> AppTest:
    def script(root: str, run: str | None) -> None:
        from pathlib import Path

        import streamlit as st

        from app.notices import told
        from app.views import rounds
        from pareto.store.run import Run

        st.session_state["root"] = root
        told(rounds.page)(None if run is None else Run.open(Path(root) / run))

    page = AppTest.from_function(script, default_timeout=60, args=(str(root), run)).run()
    assert not page.exception
    return page


def html(page: AppTest) -> str:
    return "".join(block.proto.body for block in page.get("html"))


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception
    return page


# -- in words --------------------------------------------------------------------------------------------------------


def test_the_headline_says_what_the_rounds_brought() -> None:
    found = checked([record(k, "a", NAMES) for k in (1, 2, 3)])
    assert headline(found) == (
        "Three rounds: hypervolume under gold 1.9 → 2.6 (2.2 to 3.0); the gap between proxy and gold fell from 0.8 to "
        "0.3"
    )


def test_a_gap_that_is_within_its_interval_did_not_clearly_change() -> None:
    found = checked([record(k, "a", NAMES) for k in (2, 3)])  # 0.5 ± 0.2 and 0.3 ± 0.2
    assert "went from 0.5 to 0.3, no clear difference" in headline(found)


def test_without_gold_the_headline_says_so() -> None:
    nothing = {"hypervolume": None, "gap": {"mean": None, "by_objective": dict.fromkeys(NAMES)}}
    assert "no objective has a gold measure" in headline(checked([record(1, "a", NAMES, **nothing)]))


def test_members_and_their_spread_are_said_in_numbers() -> None:
    line = line_of_members([0.8, 0.2, 0.5], 0.25, LIGHT, (0, 1))  # their standard deviation is 0.3
    assert "3 members give 0.8, 0.2, 0.5: spread 0.30, 0.25 is the limit" in line
    assert [f"left:{at}%" in line for at in ("80.0", "20.0", "50.0")] == [True] * 3


@pytest.mark.parametrize(
    ("change", "where"),
    [({"hypervolume": "large"}, "hypervolume"), ({"front": [{"kind": "soup"}]}, "front.0.id"), ({"flags": 3}, "flags")],
)
def test_what_is_no_record_is_named(change: dict[str, object], where: str) -> None:
    with pytest.raises(ParetoError, match=rf"round-2\.json: damaged.*{where}"):
        checked([record(1, "a", NAMES), record(2, "a", NAMES, **change)])


# -- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_later_rounds_stand_out_more(look: object) -> None:
    def light(colour: str) -> float:
        return sum(w * int(colour[i : i + 2], 16) for w, i in ((0.2126, 1), (0.7152, 3), (0.0722, 5)))

    found = [light(c) for c in shades(5, look)]  # type: ignore[arg-type]
    assert found == sorted(found, reverse=look is LIGHT)


def test_fronts_are_drawn_of_two_objectives_in_the_colours_of_their_rounds() -> None:
    records = [record(k, "a", ("one", "two", "three")) for k in (1, 2)]
    figure = themed(figures.fronts, records, DARK, ["two", "three"])
    points = [t for t in figure.data if t.mode == "markers"]
    assert [t.marker.color for t in points] == shades(2, DARK)
    assert list(points[1].x) == [p["gold"]["two"] for p in records[1]["front"]]
    assert list(points[1].y) == [p["gold"]["three"] for p in records[1]["front"]]


def test_values_by_round_have_their_intervals_and_objectives_their_colours() -> None:
    found = checked([record(k, "a", NAMES) for k in (1, 2, 3)])
    (trace,) = volumes(found, LIGHT).data
    assert list(trace.y) == [1.9, 2.4, 2.6]
    assert list(trace.error_y.array) == pytest.approx([0.3, 0.35, 0.4])
    assert [t.line.color for t in gaps(found, NAMES, LIGHT).data] == [*LIGHT.objectives[:2], LIGHT.text]


# -- the page --------------------------------------------------------------------------------------------------------


def test_where_there_are_none_it_says_how_to_start_some(root: Path) -> None:
    page = shown(root, "smoke")
    assert "No rounds yet" in [s.value for s in page.subheader]
    assert page.code[0].value.startswith("pareto rounds ")


def test_it_shows_the_series_that_the_run_is_a_round_of(root: Path) -> None:
    made(root)
    other = Run.open(root / "smoke").recipe.model_copy(update={"name": "another"})
    series(root, other, other.names)
    page = shown(root)
    assert page.selectbox(key="rounds_series").value == "smoke"
    assert "data-role='headline'>Three rounds: hypervolume under gold 1.9 → 2.6" in html(page)
    assert shown(root, "smoke").selectbox(key="rounds_series").value == "another"  # the first of them
    page.selectbox(key="rounds_series").set_value("another").run()
    assert "No round is finished yet" in html(page)


def test_warnings_and_the_reason_to_stop_stand_above_everything(root: Path) -> None:
    opened = made(root, 1)
    write_json(opened.record_path(1), record(1, "smoke", opened.recipe.names, stop="the gap widened by 0.4"))
    text = html(shown(root))
    assert "It stopped early:</b> the gap widened by 0.4" in text
    assert f"Round 1:</b> vowels: {FLAG}" in text
    assert "is not finished" not in text


def test_a_round_that_waits_for_people_says_so_with_the_command(root: Path) -> None:
    opened = made(root, 0)
    opened.queue.record(label(opened.queue.questions[0], "tie", "Ada"))
    page = shown(root, None)
    count = 4 * len(opened.recipe.names) - 1
    assert f"Round 1 waits for</b> {count} answers" in html(page)
    assert page.code[0].value == f"pareto rounds sweeps/smoke.yaml --root {root}"


def test_a_link_leads_to_the_run_of_a_round_that_is_there(root: Path) -> None:
    made(root)
    page = shown(root, "smoke-round-1")
    assert page.button(key="rounds_run_2").disabled  # its run was taken away
    press(page, "rounds_run_1")
    assert page.session_state["at_run"] == "smoke-round-1"


def test_the_table_has_a_row_for_every_round(root: Path) -> None:
    made(root)
    text = html(shown(root))
    for row in ("<td>1.9 (1.6 to 2.2)</td><td>–</td>", "<td>2.6 (2.2 to 3.0)</td><td>0.2 (−0.1 to 0.5)</td>"):
        assert row in text


def test_a_damaged_record_is_one_line_and_the_rest_is_shown(root: Path) -> None:
    opened = made(root)
    opened.review.flag(flagged("vowels", {"Say 1.": ("So.",)}, [[1.0, 0.0]]))
    opened.record_path(2).write_text('{"round": 2')
    text = html(shown(root))
    assert "round-2.json" in text
    assert "1 completion on which" in text


def test_review_shows_the_most_uncertain_first_and_settles(root: Path) -> None:
    opened = made(root)
    opened.review.flag(flagged("vowels", TEXTS, [[0.0, 1.0 + k] for k in range(6)]))
    page = shown(root)
    assert html(page).index("So 5.") < html(page).index("So 4.")
    assert "So 1." not in html(page)
    first = opened.review.waiting[0]
    press(page, f"review_fine_{first.id}")
    assert opened.review.settled[first.id].verdict == "fine"
    assert "So 5." not in html(page)
    press(page, "review_more")
    assert "So 0." in html(page)


def test_label_it_asks_people_in_the_next_round(root: Path) -> None:
    opened = made(root)
    opened.review.flag(flagged("vowels", dict([*TEXTS.items()][:1]), [[0.0, 1.0]]))
    before = len(opened.queue.questions)
    (item,) = opened.review.waiting
    page = press(shown(root), f"review_label_{item.id}")
    assert "waits on the page Label" in html(page)
    assert [(q.first, q.second, q.round) for q in opened.queue.questions[before:]] == [("Other 0.", "So 0.", 4)]
    assert opened.review.waiting == []


def test_a_completion_without_another_cannot_be_labelled(root: Path) -> None:
    opened = made(root)
    opened.review.flag(flagged("vowels", {"Say 1.": ("So.",)}, [[1.0, 0.0]]))
    (item,) = opened.review.waiting
    assert shown(root).button(key=f"review_label_{item.id}").disabled


def test_markup_is_text(root: Path) -> None:
    opened = made(root, 1)
    opened.review.flag(flagged("vowels", {f"{EVIL} prompt": (f"{EVIL} said",)}, [[1.0, 0.0]]))
    changed = record(1, "smoke", opened.recipe.names, flags=[f"vowels: {EVIL}"], stop=f"stop {EVIL}")
    write_json(opened.record_path(1), changed)
    text = html(shown(root))
    assert EVIL not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") == 4


def test_a_torn_review_queue_is_told(root: Path) -> None:
    opened = made(root, 1)
    opened.review.flag(flagged("vowels", {"Say 1.": ("So.",)}, [[1.0, 0.0]]))
    with open(opened.path / "review" / "review.jsonl", "a") as file:
        file.write('{"objective": "vow')
    assert "1 lines of the review queue cannot be read" in html(shown(root))


def test_questions_of_another_round_do_not_count_as_waiting(root: Path) -> None:
    opened = made(root, 0)
    for question in opened.queue.questions:
        opened.queue.record(label(question, "first", "Ada"))
    opened.queue.ask(asked(opened.recipe.names, TEXTS, 7))
    assert "Round 1 is not finished" in html(shown(root, None))
