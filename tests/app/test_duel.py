import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from forge import until
from streamlit.testing.v1 import AppTest

from app import duelling
from app.looks import LIGHT
from app.markup.weights import sliders, weights_html
from pareto.choice.user_study.duels import read
from pareto.choice.user_study.study import Study
from pareto.store.run import Run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    """The finished smoke sweep, to be changed."""
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    return Run.open(tmp_path / "runs" / "smoke")


def shown(run: Run, person: str | None = "Ada", linked: str | None = None) -> AppTest:
    def script(path: str) -> None:
        from app.views import duel
        from pareto.store.run import Run

        duel.page(Run.open(path))

    page = AppTest.from_function(script, default_timeout=60, args=(str(run.path),))
    if linked:
        page.query_params["person"] = linked
    if person:
        page.session_state["duel_name"] = person
    return page.run()


def html(page: AppTest) -> str:
    return "".join(block.proto.body for block in page.get("html"))


def answers(run: Run) -> list[str]:
    return [duel.answer for duel in read(run)[0]]


def test_it_asks_who_answers_first(run):
    page = shown(run, None)
    page.text_input(key="duel_person").input("Ada Lovelace")
    page.button(key="duel_begin").click().run()
    assert page.session_state["duel_name"] == "Ada Lovelace"
    assert "data-role='prompt'" in html(page)


def test_a_name_that_is_none_is_refused_in_words(run):
    page = shown(run, None)
    page.text_input(key="duel_person").input("<b>")
    page.button(key="duel_begin").click().run()
    assert "1 to 40 letters" in html(page)
    assert "duel_name" not in page.session_state


@pytest.mark.parametrize(
    ("key", "answer"),
    [("a", "left"), ("b", "right"), ("tie", "tie"), ("bad", "both_bad"), ("skip", "skip")],
)
def test_every_vote_is_kept_at_once_with_what_was_read(run, key, answer):
    page = shown(run)
    asked = page.session_state[duelling.NOW].pairing
    page.button(key=f"vote_{key}").click().run()
    assert not page.exception
    (kept,) = read(run)[0]
    assert (kept.answer, kept.person) == (answer, "Ada")
    assert (kept.left, kept.right) == (asked.left_point_id, asked.right_point_id)
    assert (kept.left_completion, kept.right_completion) == (asked.left_completion, asked.right_completion)
    assert page.session_state[duelling.NOW].pairing != asked


def test_neither_names_nor_ids_of_the_policies_are_on_the_page_before_an_answer(run):
    page = shown(run)
    assert not [p for p in Study.open(run).ids if p in html(page)]


def test_undo_takes_the_answer_back_and_asks_the_same_again(run):
    page = shown(run)
    asked = page.session_state[duelling.NOW].pairing
    page.button(key="vote_a").click().run()
    page.button(key="vote_undo").click().run()
    assert answers(run) == []
    assert page.session_state[duelling.NOW].pairing == asked
    page.button(key="vote_undo").click().run()
    assert "nothing to take back" in page.toast[0].value


def test_two_people_at_once_do_not_mix(run):
    ada, bob = shown(run, "Ada"), shown(run, "Bob")
    ada.button(key="vote_a").click().run()
    bob.button(key="vote_b").click().run()
    ada.button(key="vote_tie").click().run()
    bob.button(key="vote_undo").click().run()
    assert [(d.person, d.answer) for d in read(run)[0]] == [("Ada", "left"), ("Ada", "tie")]
    assert "data-duels='2'" in html(ada)
    assert "data-duels='0'" in html(bob)


def test_a_closed_tab_loses_nothing(run):
    page = shown(run)
    page.button(key="vote_a").click().run()
    again = shown(run, None)
    assert "Answered so far: Ada" in html(again)
    assert "data-duels='1'" in html(shown(run))


def test_markup_in_prompts_and_answers_is_text(run, monkeypatch):
    evil = "<img src=x onerror=alert(1)>**bold**"
    drawn = Study.next

    def next_(self, person="me", seed=None):
        found = drawn(self, person, seed)
        return replace(found, prompt=replace(found.prompt, text=evil), left_completion=evil, right_completion=evil)

    monkeypatch.setattr(Study, "next", next_)
    text = html(shown(run))
    assert "<img" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;**bold**") == 3


def test_the_learned_weights_move_the_sliders_of_the_whole_app(run):
    page = shown(run)
    page.session_state["at_policy"] = "expert-vowels"
    page.button(key="vote_a").click().run()
    page.button(key="duel_use").click().run()
    weights = Study.open(run).result("Ada").weights
    top = max(weights, key=weights.__getitem__)
    other = min(weights, key=weights.__getitem__)
    assert page.session_state[f"w_{top}"] == 10
    assert page.session_state[f"w_{other}"] == round(10 * weights[other] / weights[top])
    assert page.session_state["at_policy"] is None


def believing(monkeypatch, p_best: float) -> None:
    """Whatever is answered, the best policy is it with this probability."""
    result = Study.result
    monkeypatch.setattr(Study, "result", lambda *a, **k: replace(result(*a, **k), p_best=p_best, stop=False))


def test_the_best_policy_can_be_taken(run, monkeypatch):
    believing(monkeypatch, 0.6)
    page = shown(run)
    page.button(key="vote_a").click().run()
    assert "best with 60%" in html(page)
    page.button(key="duel_take").click().run()
    assert page.session_state["at_policy"] == Study.open(run).result("Ada").best


def test_a_policy_that_is_hardly_likely_the_best_is_neither_named_nor_taken(run, monkeypatch):
    believing(monkeypatch, 0.14)
    page = shown(run)
    page.button(key="vote_a").click().run()
    assert "Too early to tell" in html(page)
    assert "14%" not in html(page)
    assert page.button(key="duel_take").disabled


def test_priorities_that_nothing_keeps_are_said_and_the_best_cannot_be_taken(run, monkeypatch):
    believing(monkeypatch, 0.99)
    page = shown(run)
    page.session_state["at_rules"] = f"{run.recipe.names[0]}>=1000000@mean"
    page.button(key="vote_a").click().run()
    assert not page.exception
    assert "Fewer than two policies keep the priorities" in html(page)
    assert page.button(key="duel_take").disabled


def test_a_reload_goes_on_under_the_same_name_until_somebody_else_comes(run):
    again = shown(run, None, shown(run).query_params["person"])
    assert "Who is answering?" not in [s.value for s in again.subheader]
    again.button(key="vote_a").click().run()
    assert [d.person for d in read(run)[0]] == ["Ada"]
    again.button(key="duel_leave").click().run()
    assert "Who is answering?" in [s.value for s in again.subheader]
    assert "person" not in again.query_params


def test_bars_say_in_words_what_they_show(run):
    result = Study.open(run).result("Ada")
    text = weights_html(result, LIGHT)
    assert "aria-label='Weights. vowels 50 percent" in text


def test_sliders_keep_the_shares():
    assert sliders({"a": 0.5, "b": 0.25, "c": 0.25}, 10) == {"a": 10, "b": 5, "c": 5}


def test_live_answers_are_judged_as_they_were_read(run):
    page = shown(run)
    page.segmented_control(key="duel_live").set_value("Live").run()
    asked = page.session_state[duelling.NOW]
    assert asked.job is not None
    until(lambda: asked.open or asked.job.state == "failed", 60)
    page.run()
    read_ = asked.texts
    page.button(key="vote_a").click().run()
    assert not page.exception
    (kept,) = read(run)[0]
    assert kept.left_completion.startswith(read_[0])
    assert kept.right_completion.startswith(read_[1])
    assert kept.left_seed == kept.right_seed == asked.job.seed
    until(lambda: not asked.job.busy, 30)
