"""The page Priorities without a browser: levels set and moved, what they leave, relaxing, keeping."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pareto.choice.candidates import Candidates
from pareto.choice.levels import format_levels, parse_levels
from pareto.choice.priorities import judge
from pareto.choice.standing import standing
from pareto.store.run import Run


def script(path: str) -> None:
    """The page alone, as ``main`` draws it."""
    from app import place
    from app.views import priorities
    from pareto.store.run import Run

    place.keep_address()
    priorities.page(Run.open(path))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    return Run.open(tmp_path / "smoke")


def opened(run: Run, rules: str | None = None) -> AppTest:
    app = AppTest.from_function(script, args=(str(run.path),), default_timeout=60)
    if rules is not None:
        app.query_params["rules"] = rules
    app.run()
    assert not app.exception
    return app


def html(app: AppTest) -> str:
    return "".join(e.proto.body for e in app.get("html"))


def field(app: AppTest, name: str) -> str:
    """The key of a field of the form as it is drawn now."""
    return f"{name}_v{app.session_state['draft_version']}"


def middle(run: Run) -> str:
    """A rule that keeps about half of the policies."""
    means = sorted(Candidates.of(run).means[:, 0].tolist())
    return f"{run.recipe.names[0]}>={means[len(means) // 2]!r}@mean"


def test_a_level_is_added_set_and_in_force_at_once(run: Run) -> None:
    app = opened(run, "none")
    assert "nothing asked" in html(app)
    app.button(key="add_level").click().run()
    value = sorted(Candidates.of(run).means[:, 0].tolist())[1]
    app.number_input(key=field(app, "threshold_0_0")).set_value(value).run()
    app.selectbox(key=field(app, "sure_0")).set_value(0.0).run()
    assert not app.exception
    rules = f"{run.recipe.names[0]}>={value!r}@mean"
    assert app.query_params["rules"] == rules
    kept = judge(Candidates.of(run), parse_levels(rules, run.recipe.names)).kept
    assert f"→</span> {len(kept)} <span>left" in html(app)


def test_what_is_left_out_is_listed_with_its_reason(run: Run) -> None:
    app = opened(run, middle(run))
    excluded = judge(Candidates.of(run), parse_levels(middle(run), run.recipe.names)).excluded
    assert excluded
    assert f"Out of reach: {len(excluded)}" in [s.value for s in app.subheader]
    for name, reason in excluded.items():
        assert f"<td>{name}</td><td>1</td><td>{reason.text}</td>" in html(app)


def test_levels_change_places_and_go(run: Run) -> None:
    first, second = run.recipe.names
    app = opened(run, f"{first}~9@mean;{second}~8@mean")
    app.button(key="down_0").click().run()
    assert app.query_params["rules"] == f"{second}~8@mean;{first}~9@mean"
    app.button(key="up_1").click().run()
    assert app.query_params["rules"] == f"{first}~9@mean;{second}~8@mean"
    app.button(key="remove_0").click().run()
    assert app.query_params["rules"] == f"{second}~8@mean"
    assert app.button(key="up_0").disabled


def test_a_level_for_two_objectives(run: Run) -> None:
    first, second = run.recipe.names
    app = opened(run, f"{first}~9@mean")
    app.multiselect(key=field(app, "objectives_0")).set_value([first, second]).run()
    (level,) = parse_levels(app.query_params["rules"], run.recipe.names)
    assert level.objectives == (first, second)


def test_an_incomplete_level_says_what_it_lacks_and_is_not_in_force(run: Run) -> None:
    first = run.recipe.names[0]
    app = opened(run, f"{first}~9@mean")
    app.number_input(key=field(app, "within_0_0")).set_value(None).run()
    assert f"Not in force yet: give {first} a threshold or a tolerance" in html(app)
    assert app.query_params.get("rules", "none") == "none"
    app.number_input(key=field(app, "threshold_0_0")).set_value(-5.0).run()
    assert app.query_params["rules"] == f"{first}>=-5@mean"


def test_where_nothing_is_left_relaxing_leaves_something(run: Run) -> None:
    app = opened(run, f"{run.recipe.names[0]}>=1000000@mean")
    assert "No policy keeps all of this" in [s.value for s in app.subheader]
    app.button(key="relax").click().run()
    assert not app.exception
    rules = app.query_params["rules"]
    assert len(judge(Candidates.of(run), parse_levels(rules, run.recipe.names)).kept) == 1
    assert app.button(key="choose")


def test_the_proposed_policy_is_one_of_the_kept_and_can_be_chosen(run: Run) -> None:
    app = opened(run, middle(run))
    app.button(key="choose").click().run()
    kept = judge(Candidates.of(run), parse_levels(middle(run), run.recipe.names)).kept
    assert app.query_params["policy"] in kept
    assert app.button(key="choose").disabled


def test_kept_priorities_become_the_runs_own(run: Run) -> None:
    app = opened(run, middle(run))
    app.button(key="keep").click().run()
    assert format_levels(standing(run)) == middle(run)
    assert "rules" not in app.query_params
    app.button(key="remove_0").click().run()
    assert app.query_params["rules"] == "none"
    app.button(key="back").click().run()
    assert "rules" not in app.query_params
    assert app.button(key="remove_0")


def test_what_no_policy_keeps_cannot_be_kept_for_the_run(run: Run) -> None:
    app = opened(run, f"{run.recipe.names[0]}>=1000000@mean")
    assert app.button(key="keep").disabled
    assert "No policy keeps all of this" in app.button(key="keep").help


def test_the_command_line_does_the_same(run: Run) -> None:
    assert f"--priorities '{middle(run)}'" in opened(run, middle(run)).code[0].value


def test_a_run_without_policies_says_so(run: Run) -> None:
    for path in run.points.glob("*"):
        if not path.name.startswith("base."):
            path.unlink()
    assert "no policy to choose from yet" in opened(run).info[0].value
