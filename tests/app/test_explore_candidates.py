"""Explore, without a browser: several answers to choose from, and the marks on an answer's steps."""

from __future__ import annotations

from collections.abc import Callable

from exploring import answered, shown
from streamlit.testing.v1 import AppTest

from app.live.steps import Verdict

Explore = Callable[[], AppTest]


def test_one_answer_is_drawn_unless_more_are_asked_for(app: AppTest) -> None:
    app.chat_input("ask").set_value("What is 2 + 3?").run()
    answered(app)
    assert app.session_state["explore_job"][1].choice is None
    assert not [e for e in app.expander if e.label.startswith("All")]


def test_the_best_of_four_is_the_answer_and_all_are_shown(app: AppTest) -> None:
    app.select_slider("draws").set_value(4).run()
    app.chat_input("ask").set_value("What is <b>2 + 3</b>?").run()
    answered(app)
    job = app.session_state["explore_job"][1]
    assert job.state == "done", job.error
    assert job.choice.weights == (0.5, 0.5)
    assert len(job.spoken) == 2
    (folded,) = [e for e in app.expander if e.label == "All 4 answers"]
    table = "".join(e.proto.body for e in folded.get("html"))
    assert table.count("<tr class=") == 4
    assert table.count("chosen</span>") == 1
    assert "<b>2" not in table
    assert "The best of 4 answers." in shown(app)
    assert max(c.utility for c in job.best.candidates) == job.best.answer.utility
    assert job.spoken[0].text == job.best.answer.text


def test_the_priorities_that_stand_judge_the_answers(app: AppTest) -> None:
    first = app.session_state["names"][0]
    app.session_state["at_rules"] = f"{first}>=0.9"
    app.select_slider("draws").set_value(2).run()
    app.chat_input("ask").set_value("What is 2 + 3?").run()
    answered(app)
    job = app.session_state["explore_job"][1]
    assert [level.objectives for level in job.choice.levels] == [(first,)]
    assert all(c.broken and first in c.broken for c in job.best.candidates if c.scores[first] < 0.9)
    assert "Breaks level 1" in shown(app)


def test_steps_of_an_answer_are_marked_with_a_legend(app: AppTest) -> None:
    app.chat_input("ask").set_value("What is 2 + 3?").run()
    answered(app)
    assert "class='step" not in shown(app)
    spoken = app.session_state["explore_job"][1].spoken[0]
    spoken.text, spoken.steps = "2+3=6 <i>", (Verdict(0, 5, right=False),)
    app.run()
    assert "class='step wrong'" in shown(app)
    assert "&lt;i&gt;" in shown(app)
    assert "as arithmetic computes" in shown(app)
