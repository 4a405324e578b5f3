"""Links and files that are broken, on every page as ``main`` draws it: one line, and the rest goes on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from pareto.store.run import Run

MAIN = Path(__file__).parents[2] / "app" / "main.py"


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(sys, "argv", ["main.py", "--root", str(tmp_path)])
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    return Run.open(tmp_path / "smoke")


def opened(page: str, **address: str) -> AppTest:
    app = AppTest.from_file(MAIN, default_timeout=60)
    app._page_hash = calc_hash(page) if page != "frontier" else ""
    for name, value in address.items():
        app.query_params[name] = value
    if page == "duel":
        app.session_state["duel_name"] = "Ada"
    app.run()
    assert not app.exception
    assert [t.value.lower() for t in app.title] == [page]
    return app


def html(app: AppTest) -> str:
    return "".join(e.proto.body for e in app.get("html"))


@pytest.mark.parametrize("page", ["frontier", "explore", "priorities", "duel"])
def test_damaged_priorities_are_one_line(run: Run, page: str) -> None:
    (run.path / "priorities.json").write_text("{")
    assert "priorities.json:1:2: damaged" in html(opened(page))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("policy", "nosuch", "a policy 'nosuch' that 'smoke' does not have; shown is mix 50 / 50."),
        ("policy", "mix:nosuch=1", "a policy 'mix:nosuch=1' that 'smoke' does not have"),
        ("pin", "nosuch", "pins a policy 'nosuch' that 'smoke' does not have; nothing is pinned."),
        ("rules", "<script>", "priorities cannot be read"),
        ("run", "nosuch", "There is no run 'nosuch' here; shown is 'smoke'."),
    ],
)
def test_what_a_link_names_in_vain_is_said_and_leaves_the_address(run: Run, name: str, value: str, told: str) -> None:
    app = opened("explore", **{name: value})
    assert told.replace("'", "&#x27;") in html(app)
    assert "<script>" not in html(app)
    assert app.query_params.get(name) == ("smoke" if name == "run" else None)
    assert "link_told" in app.run().session_state  # still there when the page is drawn again
    assert told.replace("'", "&#x27;") in html(app)


def test_a_link_that_is_right_is_not_commented(run: Run) -> None:
    first = run.recipe.names[0]
    app = opened("frontier", run="smoke", policy=f"expert-{first}", pin="base", rules=f"{first}~9@mean")
    assert "This link" not in html(app)
    assert app.query_params["policy"] == f"expert-{first}"


@pytest.mark.parametrize("page", ["explore", "export"])
def test_a_damaged_map_is_told_where_it_is_missed(run: Run, page: str) -> None:
    (run.path / "map.json").write_text("{}")
    assert "map.json: damaged" in html(opened(page))


@pytest.mark.parametrize("page", ["frontier", "priorities", "duel"])
def test_a_damaged_map_leaves_the_other_pages_as_they_are(run: Run, page: str) -> None:
    (run.path / "map.json").write_text("{}")
    assert "damaged" not in html(opened(page))
