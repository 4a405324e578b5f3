import shutil
from pathlib import Path

import pytest
from rounds_on_disk import asked, label, series
from streamlit.testing.v1 import AppTest

from app import labelling
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.rounds.store import Rounds
from pareto.store.run import Run

NAMES = ("vowels", "brevity")


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """A folder with the finished smoke sweep, to be changed."""
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    return tmp_path / "runs"


@pytest.fixture
def rounds(root: Path) -> Rounds:
    """A series of the smoke sweep's name, whose first round waits for four answers by each objective."""
    recipe = Run.open(root / "smoke").recipe
    return series(root, recipe, recipe.names, criteria={recipe.names[0]: "Which has more vowels?"})


def shown(root: Path, run: str | None = None, person: str | None = "Ada") -> AppTest:
    def script(root: str, run: str | None) -> None:
        from pathlib import Path

        import streamlit as st

        from app.notices import told
        from app.views import label
        from pareto.store.run import Run

        st.session_state["root"] = root
        told(label.page)(None if run is None else Run.open(Path(root) / run))

    page = AppTest.from_function(script, default_timeout=60, args=(str(root), run))
    if person:
        page.session_state["duel_name"] = person
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=f"label_{key}").click().run()
    assert not page.exception
    return page


def html(page: AppTest) -> str:
    return "".join(block.proto.body for block in page.get("html"))


def on_page(page: AppTest) -> labelling.Standing:
    found: labelling.Standing = page.session_state[labelling.NOW]
    return found


def test_it_asks_who_answers_first(root: Path, rounds: Rounds) -> None:
    page = shown(root, person=None)
    page.text_input(key="label_person").input("Ada Lovelace")
    press(page, "begin")
    assert page.session_state["duel_name"] == "Ada Lovelace"
    assert "Which has more vowels?" in html(page)


@pytest.mark.parametrize("key", ["a", "b", "tie", "skip"])
def test_every_answer_is_kept_at_once_as_it_was_seen(root: Path, rounds: Rounds, key: str) -> None:
    page = shown(root)
    seen = on_page(page).shown
    press(page, key)
    (kept,) = rounds.queue.labels
    better = {"a": seen.left, "b": seen.right}.get(key)
    assert {"first": kept.first, "second": kept.second}.get(kept.answer) == better
    assert (kept.annotator, kept.who, kept.prompt, kept.round) == ("Ada", "person", seen.question.prompt, 1)
    assert better or kept.answer == key
    assert on_page(page).shown.question != seen.question


def test_the_sides_are_thrown_by_chance(root: Path, rounds: Rounds) -> None:
    sides = set()
    for _ in range(24):  # 2⁻²³ that a fair coin shows one side only
        page = shown(root)
        sides.add(on_page(page).shown.swapped)
        if len(sides) == 2:
            break
    assert sides == {True, False}


def test_undo_takes_the_answer_back_and_asks_the_same_on_the_same_sides(root: Path, rounds: Rounds) -> None:
    page = shown(root)
    seen = on_page(page).shown
    press(press(page, "a"), "undo")
    assert rounds.queue.labels == []
    assert (on_page(page).shown.left, on_page(page).shown.right) == (seen.left, seen.right)
    press(page, "undo")
    assert "nothing to take back" in page.toast[0].value


def test_undo_returns_to_the_objective_of_what_it_takes_back(root: Path, rounds: Rounds) -> None:
    first, second = rounds.recipe.names[:2]
    page = press(shown(root), "a")
    page.segmented_control(key=labelling.OBJECTIVE).set_value(second).run()
    assert on_page(page).shown.question.objective == second
    press(page, "undo")
    assert on_page(page).shown.question.objective == first


def test_progress_counts_what_anybody_answered_and_what_waits(root: Path, rounds: Rounds) -> None:
    page = press(shown(root), "a")
    assert "1 of 4, 3 wait" in html(page)
    press(shown(root, person="Bob"), "b")
    assert "2 of 4, 2 wait" in html(shown(root))


def test_two_people_at_once_do_not_mix(root: Path, rounds: Rounds) -> None:
    ada, bob = shown(root), shown(root, person="Bob")
    press(ada, "a")
    press(bob, "b")
    press(ada, "tie")
    press(bob, "undo")
    assert [x.annotator for x in rounds.queue.labels] == ["Ada", "Ada"]
    assert "Bob · vowels · 0 by you" in html(bob)


def test_people_who_answer_the_same_are_told_whether_they_agree(root: Path, rounds: Rounds) -> None:
    question = rounds.queue.questions[0]
    for person, said in (("Ada", "first"), ("Bob", "second")):
        rounds.queue.record(label(question, said, person))
    page = html(shown(root))
    assert "0% of answers agree" in page
    assert "1 question is answered both ways; both count" in page


def test_what_another_objective_waits_for_is_one_click_away(root: Path, rounds: Rounds) -> None:
    second = rounds.recipe.names[1]
    page = shown(root)
    for _ in range(4):
        press(page, "tie")
    assert f"there wait 4 for {second}" in html(page)
    press(page, "go_on")
    assert on_page(page).shown.question.objective == second


def test_where_all_is_answered_it_says_how_the_rounds_go_on(root: Path, rounds: Rounds) -> None:
    for question in rounds.queue.questions:
        rounds.queue.record(label(question, "first", "Bob"))
    page = shown(root)
    assert "Every question is answered" in html(page)
    (command,) = page.code
    assert command.value == f"pareto rounds sweeps/smoke.yaml --root {root}"
    assert "label_a" not in [b.key for b in page.button]


def test_questions_of_a_plain_run_are_made_of_what_it_measured(root: Path) -> None:
    page = press(shown(root, "smoke"), "make")
    asked = on_page(page).shown.question
    press(page, "a")
    (kept,) = AnnotationQueue(root / "smoke" / "labels").labels
    assert kept.key == asked.key


def test_a_run_that_is_a_round_labels_for_its_series(root: Path, rounds: Rounds) -> None:
    shutil.copytree(root / "smoke", root / "smoke-round-1")
    press(shown(root, "smoke-round-1"), "a")
    assert len(rounds.queue.labels) == 1


def test_markup_is_text(root: Path, rounds: Rounds) -> None:
    evil = "<img src=x onerror=alert(1)>"
    rounds.queue.ask(asked(rounds.recipe.names[:1], {f"{evil} prompt": (f"{evil} one", f"{evil} two")}, 9))
    page = shown(root)
    assert on_page(page).shown.question.prompt == f"{evil} prompt"  # of the latest round
    assert evil not in html(page)
    assert html(page).count("&lt;img src=x onerror=alert(1)&gt;") == 3


def test_torn_lines_are_told_and_the_rest_goes_on(root: Path, rounds: Rounds) -> None:
    with open(rounds.path / "labels" / "questions.jsonl", "a") as file:
        file.write('{"objective": "vow')
    page = shown(root)
    assert "1 lines of the queue" in html(page)
    press(page, "a")
    assert len(rounds.queue.labels) == 1


def test_an_answer_that_cannot_be_written_leaves_the_question(
    root: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pareto.errors import ParetoError

    def full(self: AnnotationQueue, label: object) -> bool:
        raise ParetoError("labels.jsonl: no space left")

    page = shown(root)
    asked = on_page(page)
    monkeypatch.setattr(AnnotationQueue, "record", full)
    press(page, "a")
    assert "no space left" in html(page)
    assert on_page(page) is asked


def test_damaged_rounds_are_one_line(root: Path, rounds: Rounds) -> None:
    (rounds.path / "rounds.json").write_text("{")
    page = shown(root)
    assert "rounds.json" in html(page)


def test_a_reload_goes_on_under_the_same_name(root: Path, rounds: Rounds) -> None:
    page = shown(root)
    press(page, "leave")
    assert "Who is answering?" in [s.value for s in page.subheader]
