"""The page Frontier without a browser: what it shows of a run, and what choosing does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pareto.choice.candidates import Candidates
from pareto.choice.levels import parse_levels
from pareto.choice.priorities import judge
from pareto.frontier import frontier
from pareto.store.run import Run


def script(path: str) -> None:
    """The page alone, as ``main`` draws it."""
    from app import place
    from app.views import frontier
    from pareto.store.run import Run

    place.keep_address()
    frontier.page(Run.open(path))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    return Run.open(tmp_path / "smoke")


def opened(run: Run, **address: str) -> AppTest:
    app = AppTest.from_function(script, args=(str(run.path),), default_timeout=60)
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def html(app: AppTest) -> str:
    return "".join(e.proto.body for e in app.get("html"))


def test_the_table_has_every_policy_of_the_front_with_its_values(run: Run) -> None:
    table = opened(run).dataframe[0].value
    rows = [r for r in frontier(run).document()["points"] if r["split"] == "test"]
    assert list(table["policy"]) == [r["id"] for r in rows]
    name = run.recipe.names[0]
    assert list(table[name]) == pytest.approx([r["mean"][name] for r in rows])
    assert list(table["front"]) == [r["on_front"] for r in rows]


def test_validation_shows_everything_measured(run: Run) -> None:
    app = opened(run)
    app.segmented_control(key="split").set_value("Validation").run()
    assert not app.exception
    assert set(app.dataframe[0].value["policy"]) == {p.name.split(".")[0] for p in run.points.glob("*.validation.json")}
    assert app.dataframe[0].value["P(front)"].between(0, 1).all()


@pytest.mark.parametrize("view", ["2-D slice", "Parallel"])
def test_every_view_opens(run: Run, view: str) -> None:
    app = opened(run)
    app.segmented_control(key="view").set_value(view).run()
    assert not app.exception


def test_two_objectives_have_no_third_axis(run: Run) -> None:
    assert opened(run).segmented_control(key="view").options == ["2-D slice", "Parallel"]


def test_a_link_opens_with_its_policy_and_its_pin(run: Run) -> None:
    name = f"expert-{run.recipe.names[0]}"
    app = opened(run, policy=name, pin="base")
    assert f"class=policy>{name}<" in html(app)
    assert app.dataframe[0].proto.id  # the table stands beside it
    assert "pinned" in html(app)


def test_a_nonsense_link_opens_the_page_all_the_same(run: Run) -> None:
    assert opened(run, policy="<b>nobody", pin="mix:x=1", rules="what?").dataframe


def test_pinning_keeps_the_policy_and_its_link(run: Run) -> None:
    app = opened(run, policy="base")
    app.button(key="chosen_pin").click().run()
    assert app.query_params["pin"] == "base"
    assert app.button(key="chosen_pin").label == "Unpin"
    app.button(key="chosen_pin").click().run()
    assert "pin" not in app.query_params


def test_the_table_says_which_policies_keep_the_priorities(run: Run) -> None:
    name = run.recipe.names[0]
    means = sorted(Candidates.of(run).means[:, 0].tolist())
    rules = f"{name}>={means[len(means) // 2]!r}@mean"
    table = opened(run, rules=rules).dataframe[0].value.set_index("policy")["priorities"]
    excluded = judge(Candidates.of(run), parse_levels(rules, run.recipe.names)).excluded
    assert excluded
    for policy, said in table.items():
        if policy != "base":
            assert said == ("out" if policy in excluded else "kept")


def test_a_run_without_a_front_says_what_is_missing(run: Run) -> None:
    (run.path / "frame.json").unlink()
    app = opened(run)
    assert "No policy is measured yet" in app.info[0].value


def test_another_run_is_compared_in_words(run: Run) -> None:
    shutil.copytree(run.path, run.path.parent / "twin")
    app = opened(run)
    app.selectbox(key="with").set_value("twin").run()
    assert not app.exception
    assert any("No clear difference" in text.value for text in app.text)
