"""Explore, without a browser: weights from the prompt, or what has to be done before there are any."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from exploring import answered, script, shown
from streamlit.testing.v1 import AppTest

from pareto.errors import ParetoError
from pareto.frontier import find_point
from pareto.inference.auto_weights import auto
from pareto.inference.auto_weights.auto import Auto
from pareto.store.run import Run

SURE = "a gain of +0.40 ±0.10 over the best fixed weights is expected (nearest prompts: 9 sums, 1 provocations)"
UNSURE = "declined, the best fixed weights: it is unlike the prompts that were learned from"
EVIL = "<img src=x>"


@dataclass(frozen=True)
class Learned:
    """Learned weights that take one measured policy for every prompt."""

    taken: Auto
    allowed: tuple[str, ...] = ("soup-0", "soup-1")
    kept: Any = field(default_factory=lambda: SimpleNamespace(learned=SimpleNamespace(ids=("soup-0", "soup-1"))))

    def take(self, prompt: str) -> Auto:
        if prompt == "no":
            raise ParetoError("weights auto: not this one")
        return self.taken


@pytest.fixture
def learned(run: Run, monkeypatch: pytest.MonkeyPatch) -> Learned:
    taken = Auto(find_point(run, "soup-0"), SURE, False, 0.4, 0.1, None, {"sums": 9, EVIL: 1}, [])
    made = Learned(taken)
    monkeypatch.setattr(auto.AutoWeights, "open", lambda run: made)
    return made


@pytest.fixture
def on(learned: Learned, run: Run) -> AppTest:
    app = AppTest.from_function(script, args=(str(run.path),), default_timeout=60).run()
    return app.toggle("auto_weights").set_value(True).run()


def ask(app: AppTest, text: str) -> Any:
    app.chat_input("ask").set_value(text).run()
    answered(app)
    return app.session_state["explore_job"][1]


def test_a_run_that_has_not_learned_says_how_to(app: AppTest) -> None:
    assert app.toggle("auto_weights").disabled
    assert "pareto weights learn smoke" in shown(app)
    before = app.session_state["at_policy"]
    ask(app, "What is 2 + 3?")
    assert app.session_state["at_policy"] == before


def test_asking_moves_the_preference_and_says_why(on: AppTest, learned: Learned) -> None:
    names = on.session_state["names"]
    job = ask(on, "What is 2 + 3?")
    point = learned.taken.point
    assert on.session_state["at_policy"] == "soup-0"
    assert dict(job.voices[0].coefficients) == pytest.approx(point.coefficients)
    top = max((point.weights or {}).values())
    expected = [round(10 * (point.weights or {})[n] / top) for n in names]
    assert [on.slider(f"w_{n}").value for n in names] == expected
    assert "Nearest prompts: 9 of sums and 1 of &lt;img" in shown(on)
    assert "A gain of +0.40 ±0.10 over the best fixed weights is expected." in shown(on)
    on.slider(f"w_{names[0]}").set_value(3).run()
    assert "Nearest prompts" not in shown(on), "it stands for another policy than the one that stands now"
    answered(on)


def test_a_decline_says_what_stands_instead(run: Run, learned: Learned, monkeypatch: pytest.MonkeyPatch) -> None:
    unsure = replace(learned, taken=replace(learned.taken, reason=UNSURE, declined=True))
    monkeypatch.setattr(auto.AutoWeights, "open", lambda run: unsure)
    app = AppTest.from_function(script, args=(str(run.path),), default_timeout=60).run()
    app.toggle("auto_weights").set_value(True).run()
    ask(app, "Zzz")
    assert "Declined, the best fixed weights: it is unlike" in shown(app)
    assert "soup-0" in shown(app)


def test_off_nothing_moves(learned: Learned, app: AppTest) -> None:
    ask(app, "What is 2 + 3?")
    assert app.session_state["at_policy"] is None


def test_what_goes_wrong_is_said_and_the_question_is_asked(on: AppTest) -> None:
    job = ask(on, "no")
    assert job.state == "done"
    assert on.session_state["at_policy"] is None
    assert "weights auto: not this one" in shown(on)


def test_the_priorities_of_the_session_stand_above_it(on: AppTest) -> None:
    first = on.session_state["names"][0]
    on.session_state["at_rules"] = f"{first}>=100"
    job = ask(on.run(), "What is 2 + 3?")
    assert "no policy with weights keeps the priorities" in shown(on)
    assert job.voices[0].label != "soup-0"
