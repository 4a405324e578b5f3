"""Explore, without a browser: what the sliders, presets, panel, pin and questions do."""

from __future__ import annotations

import pytest
from exploring import answered, script, shown
from streamlit.testing.v1 import AppTest

from app import exchange
from app.views import explore
from pareto.soups.outlook import Outlook
from pareto.store.run import Run


def test_a_slider_changes_the_mix_and_the_prediction(app: AppTest, run: Run) -> None:
    first, second = run.recipe.names[:2]
    before = shown(app)
    assert f"{first} 50 percent, {second} 50 percent" in before
    app.slider(f"w_{first}").set_value(0).run()
    assert f"{first} 0 percent, {second} 100 percent" in shown(app)
    bars = [page.split("class='bars'")[1] for page in (before, shown(app))]
    assert bars[0] != bars[1]


def test_all_sliders_at_zero_say_so(app: AppTest, run: Run) -> None:
    for name in run.recipe.names:
        app.slider(f"w_{name}").set_value(0)
    assert "Everything at zero: all count the same." in shown(app.run())


def test_a_preset_sets_the_sliders(app: AppTest, run: Run) -> None:
    first, second = run.recipe.names[:2]
    app.pills("preset").set_value(second).run()
    assert [app.slider(f"w_{n}").value for n in (first, second)] == [0, 10]


def test_a_measured_point_is_shown_as_measured_until_a_slider_moves(app: AppTest, run: Run) -> None:
    first = run.recipe.names[0]
    app.selectbox("measured").select(f"expert-{first}").run()
    assert app.session_state["at_policy"] == f"expert-{first}"
    assert "Measured on" in shown(app)
    app.slider(f"w_{first}").set_value(3).run()
    assert app.session_state["at_policy"] is None
    assert "Measured on" not in shown(app)


def test_the_expert_panel_leaves_the_simplex_and_comes_back(app: AppTest, run: Run) -> None:
    first = run.recipe.names[0]
    app.session_state["explore_panel"] = True
    app.run()
    app.number_input(f"mix_expert-{first}").set_value(-0.75).run()
    assert f"expert-{first}=-0.75" in app.session_state["at_policy"]
    assert "−0.75" in shown(app)
    app.button("mix_reset").click().run()
    assert app.session_state["at_policy"] is None


def test_pin_compares_and_unpin_ends_it(app: AppTest, run: Run) -> None:
    app.button("pin").click().run()
    assert app.session_state["at_pin"].startswith("mix:expert-")
    assert "no clear difference" in shown(app)
    app.button("unpin").click().run()
    assert "no clear difference" not in shown(app)


def test_an_answer_names_its_mix_and_moving_asks_again(app: AppTest, run: Run) -> None:
    app.chat_input("ask").set_value("What is 2 + 3? <b>Now</b>").run()
    answered(app)
    job = app.session_state["explore_job"][1]
    assert job.state == "done", job.error
    assert [v.title for v in job.voices] == ["Chosen", "Base model"]
    assert "&lt;b&gt;Now&lt;/b&gt;" in shown(app)
    assert "class='scores'" in shown(app)
    first = run.recipe.names[0]
    app.slider(f"w_{first}").set_value(9).run()
    moved = app.session_state["explore_job"][1]
    assert moved is not job
    assert (moved.prompt, moved.voices[0].label) == (job.prompt, "mix 64 / 36")
    answered(app)


def test_without_the_wish_moving_does_not_ask_again(app: AppTest, run: Run) -> None:
    app.toggle("again").set_value(False).run()
    app.chat_input("ask").set_value("What is 2 + 3?").run()
    answered(app)
    job = app.session_state["explore_job"][1]
    app.slider(f"w_{run.recipe.names[0]}").set_value(9).run()
    assert app.session_state["explore_job"][1] is job
    assert "Spoken by mix 50 / 50." in shown(app)


def test_too_little_measured_says_what_to_do(run: Run) -> None:
    for path in run.points.iterdir():
        if "base" not in path.name:
            path.unlink()
    app = AppTest.from_function(script, args=(str(run.path),), default_timeout=60).run()
    assert not app.exception
    assert "Go on with the sweep" in shown(app)


def test_a_damaged_map_is_named_instead(run: Run) -> None:
    (run.path / "map.json").write_text('{"map": {}, "seal": ""}')
    app = AppTest.from_function(script, args=(str(run.path),), default_timeout=60).run()
    assert not app.exception
    assert "map.json: damaged" in shown(app)
    assert "Go on with the sweep" not in shown(app)


def test_the_price_is_what_the_outlook_predicts_for_the_step(run: Run) -> None:
    outlook = Outlook.of(run)
    at = dict.fromkeys(outlook.adapters, 0.5)
    name = run.recipe.names[0]
    found = exchange.exchange(outlook, at, name)
    assert found is not None
    signs = dict(zip(outlook.objectives, outlook.map.frame.signs, strict=True))
    here = outlook.predict(at)["mean"]
    steps = [at | {a: at[a] + d} for a in at for d in (exchange.STEP, -exchange.STEP)]
    gains = [signs[name] * (outlook.predict(s)["mean"][name] - here[name]) for s in steps]
    assert found[name] == pytest.approx(max(gains), rel=1e-6)


def test_the_knee_is_on_the_front_and_between_its_ends() -> None:
    from types import SimpleNamespace

    from pareto.front.frame import Frame

    frame = Frame(("a", "b"), (1.0, -1.0), (0.0, 0.0), (1.0, 100.0), (-1.0, -1.0))
    means = {"left": (0.0, -500.0), "bulge": (0.8, -400.0), "flat": (0.5, -260.0), "right": (1.0, 500.0)}
    rows = [
        {"id": i, "on_front": i != "inside", "mean": {"a": a, "b": b}}
        for i, (a, b) in (means | {"inside": (5.0, -900.0)}).items()
    ]
    found = SimpleNamespace(validation=rows, frame=frame, names=("a", "b"))
    assert explore.knee(found)["id"] == "bulge"  # type: ignore[arg-type, index]
