"""Frontier: where one can be. Every policy measured, from several sides; a click picks one everywhere in the app."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import data, place
from app.charts.paths import paths
from app.charts.plane import plane
from app.charts.scene import Scene, legend
from app.charts.space import cloud, triangle
from app.data import Data
from app.markup import tiles
from app.measures import Comparison, Table, compare
from app.notices import told
from app.theme import look
from app.views.frontier_parts import growth_and_rival, policy_card, table
from app.views.slice import CORNERS, axes, draw
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.store.run import Run

TITLE = "Frontier"
VIEWS = ("2-D slice", "3-D", "Ternary", "Parallel")
SPLITS = ("Test", "Validation")


def page(run: Run) -> None:
    """Charts, the chosen policy, the table, and how the front grew."""
    found = data.load(run)
    if found.frame is None or not found.validation:
        st.info(
            "No policy is measured yet. The front appears here as soon as the sweep has measured its base and its "
            "first experts; watch it on the page Sweep.",
            icon=":material/hourglass_top:",
        )
        return
    st.html(tiles.css(look()))
    _body(found, found.frame)


@st.fragment
@told
def _body(found: Data, frame: Frame) -> None:
    """One live part: whatever is clicked, only this is drawn again."""
    names, colours = found.names, look()
    view, split = _controls(found)
    rows, measured = (found.test, "test") if split == "Test" else (found.validation, "validation")
    scores = _table(str(found.run.path), measured, data.stamp(found.run))
    if split == "Validation":
        chances = _chances(str(found.run.path), measured, data.stamp(found.run))
        rows = [row | {"p_nondominated": chances.get(row["id"])} for row in rows]
    excluded = _excluded(found) if st.session_state["show"] == "Feasible" else {}
    chosen, pinned = place.policy(found), place.pinned(found)
    scene = Scene(
        rows,
        names,
        frame.signs,
        colours,
        excluded,
        chosen.spec if chosen and chosen.row else None,
        pinned.spec if pinned and pinned.row else None,
    )
    rival = _rival(found, frame)
    with st.container(border=True, key="charts"):
        _charts(scene, view, scores, rival[1] if rival else [])
        st.html(legend(scene, _other() if rival and rival[1] and view == VIEWS[0] else None))
        st.caption(_note(found, split, bool(excluded), view))
    if chosen:
        policy_card(found, chosen, scores, measured, _every_reason(found) or {})
    table(scene, _every_reason(found))
    growth_and_rival(found, scene, rival[0] if rival else None)


def _controls(found: Data) -> tuple[str, str]:
    """The switches above the charts, all of them in the address."""
    tested = found.document is not None
    views = [v for v in VIEWS if v not in ("3-D", "Ternary") or len(found.names) >= 3]
    if st.session_state.get("view", VIEWS[0]) not in views:
        del st.session_state["view"]
    with st.container(horizontal=True, key="switches", gap="medium", vertical_alignment="bottom"):
        view = st.segmented_control(
            "View", views, default=VIEWS[0], required=True, key="view", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        st.segmented_control(
            "Policies", ("All", "Feasible"), default="Feasible", required=True, key="show", bind="query-params",
            label_visibility="collapsed", disabled=not place.rules(found),
        )  # fmt: skip
        split = st.segmented_control(
            "Prompts", SPLITS, default=SPLITS[0] if tested else SPLITS[1], required=True, key="split",
            bind="query-params", label_visibility="collapsed", disabled=not found.test,
        )  # fmt: skip
        if view == "2-D slice":
            st.segmented_control(
                "Uncertainty", ("Bars", "Ellipses"), default="Bars", required=True, key="spread", bind="query-params",
                label_visibility="collapsed",
            )  # fmt: skip
    return str(view), str(split)


def _charts(scene: Scene, view: str, scores: Table, rival: list[data.Row]) -> None:
    """The chosen view, with the value paths beside it."""
    if view == "Parallel":
        draw(paths(scene, 520), "paths", f"Value paths of {len(scene.rows)} policies over {', '.join(scene.names)}")
        return
    left, right = st.columns([1.12, 1], gap="medium")
    with left:
        if view == "2-D slice":
            x, y = axes(scene.names, ("x", "y"))
            ellipses = scores.covariances if st.session_state["spread"] == "Ellipses" else None
            made = plane(scene, x, y, covariances=ellipses, rival=rival)
            draw(made, "slice", _alt(scene, (x, y)))
        elif view == "3-D":
            three = axes(scene.names, ("x", "y", "z"))
            draw(cloud(scene, three, height=450), "cloud", _alt(scene, three))
            st.caption("Turn it with the mouse; choose a policy in the value paths or in the table.")
        else:
            corners = axes(scene.names, ("x", "y", "z"), CORNERS)
            colour = st.selectbox("Colour", scene.names, key="colour", bind="query-params", format_func=str, width=190)
            made = triangle(scene, corners, scene.names.index(colour), height=410)
            draw(made, "triangle", f"How {len(scene.rows)} policies are mixed, coloured by {colour}")
    with right:
        st.html("<div class='beside mute'>All objectives, worst to best</div>")
        draw(paths(scene), "paths", f"Value paths of {len(scene.rows)} policies over {', '.join(scene.names)}")


def _alt(scene: Scene, shown: Sequence[int]) -> str:
    against = " against ".join(scene.names[k] for k in shown)
    at = next((row for row in scene.rows if row["id"] == scene.chosen), None)
    told = f"; chosen {at['id']}: " + ", ".join(f"{n} {at['mean'][n]:.3g}" for n in scene.names) if at else ""
    return f"{len(scene.rows)} policies, {against}{told}. The table below has the same."


def _note(found: Data, split: str, filtered: bool, view: str) -> str:
    """What the charts show, in one line."""
    bars = " Bars and ellipses hold the mean with 95 %. Dotted: the base model." if view == VIEWS[0] else ""
    if split == "Validation":
        told = "Everything measured on the prompts that policies are chosen on."
    elif found.document is None:
        told = "The front is not yet measured on test; shown is what is. Run the sweep again to measure the rest."
    else:
        told = "Chosen on validation, reported here on test prompts that no choice has seen."
    left = " Outlines: the priorities put them out of reach; point at one for its reason." if filtered else ""
    return f"{told}{bars}{left} Click a policy; with the box tool at the chart's right edge, choose several."


def _excluded(found: Data) -> dict[str, str]:
    rules = place.rules(found)
    if not rules or found.candidates is None:
        return {}
    return {name: reason.text for name, reason in data.verdict(found, rules).excluded.items()}


def _every_reason(found: Data) -> dict[str, str] | None:
    """Id → why it is out; ``None`` without priorities."""
    return _excluded(found) if place.rules(found) and found.candidates is not None else None


def _other() -> str | None:
    """The run to compare with; what a link asks for counts before the choice beneath the charts is drawn."""
    name: str | None = st.session_state.get("with") or st.query_params.get("with")
    return name


def _rival(found: Data, frame: Frame) -> tuple[Comparison | str, list[data.Row]] | None:
    """The run to compare with, if one is chosen: the comparison or why there is none, and its front's rows."""
    name, root = _other(), found.run.path.parent
    if name not in data.runs(root) or name == found.run.path.name:
        return None
    other = Run.open(root / str(name))
    try:
        made = _compare(str(found.run.path), str(other.path), (*data.stamp(found.run), *data.stamp(other)), frame)
    except ParetoError as e:
        return str(e), []
    theirs = data.load(other)
    return made, theirs.test if st.session_state["split"] == "Test" else theirs.validation


@st.cache_resource(show_spinner=False, max_entries=16)
def _table(path: str, split: Any, when: tuple[float, ...]) -> Table:
    run = Run.open(path)
    frame = data.load(run).frame
    assert frame is not None
    return Table.of(run, split, frame)


@st.cache_data(show_spinner=False, max_entries=16)
def _chances(path: str, split: str, when: tuple[float, ...]) -> dict[str, float]:
    chances: dict[str, float] = _table(path, split, when).front_chances()
    return chances


@st.cache_resource(show_spinner=False, max_entries=16)
def _compare(path: str, other: str, when: tuple[float, ...], _frame: Frame) -> Comparison:
    return compare(Run.open(Path(path)), Run.open(Path(other)), _frame)
