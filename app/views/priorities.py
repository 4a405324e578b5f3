"""Priorities: which policies are allowed. Levels in order, what each leaves, what it costs, and why the rest is out."""

from __future__ import annotations

import shlex

import streamlit as st

from app import data, draft, place
from app.charts.plane import plane
from app.charts.scene import Scene, legend
from app.data import Data
from app.markup import tiles
from app.notices import told
from app.theme import look
from app.views import priorities_form as form
from app.views.priorities_parts import excluded_table, infeasible, price_list, proposal, standing_buttons
from app.views.slice import axes, draw
from pareto.choice.candidates import Candidates
from pareto.choice.levels import format_levels
from pareto.choice.priorities import Verdict
from pareto.choice.standing import standing
from pareto.store.run import Run

TITLE = "Priorities"


def page(run: Run) -> None:
    """The form on the left, what it leaves on the right, and beneath it prices, reasons and the command."""
    found = data.load(run)
    if found.candidates is None:
        st.info(
            "There is no policy to choose from yet. Priorities can be set as soon as the sweep has measured its first "
            "experts; watch it on the page Sweep.",
            icon=":material/hourglass_top:",
        )
        return
    st.html(tiles.css(look()))
    _body(found, found.candidates)


@st.fragment
@told
def _body(found: Data, candidates: Candidates) -> None:
    st.html(
        "<div class=mute style='margin-top:-.6rem'>What must never be given up, most important first. A level only "
        "sees what the levels above it keep.</div>"
    )
    kept = format_levels(standing(found.run))  # where they are damaged, nothing of the form can be set
    text = place.rules(found)
    verdict = data.verdict(found, text)
    left, right = st.columns([1, 1.18], gap="large")
    with left:
        form.levels_form(found, candidates)
        standing_buttons(found, verdict, kept)
    with right:
        _reached(found, candidates, verdict)
        if verdict.kept:
            proposal(found, candidates, verdict, text)
        else:
            infeasible(found, verdict)
    if text:
        one, two = st.columns([1, 1.18], gap="large")
        with one:
            price_list(found, verdict, text)
        with two:
            excluded_table(verdict)
    with st.container(key="command"):
        st.caption("The same on the command line")
        root = run_root(found.run)
        st.code(f"pareto choose {found.run.path.name}{root} --priorities {shlex.quote(text)}", language="bash")


def run_root(run: Run) -> str:
    """The option that names the folder of runs, where it is not the default."""
    root = st.session_state.get("root", "runs")
    return "" if root == "runs" else f" --root {shlex.quote(str(root))}"


def _reached(found: Data, candidates: Candidates, verdict: Verdict) -> None:
    """The funnel, and a slice in which what is kept is in colour."""
    minimised = candidates.minimised
    with st.container(border=True, key="funnel"):
        if verdict.levels:
            steps = [(draft.told(s.level, minimised), len(s.kept)) for s in verdict.steps]
            st.html(tiles.funnel(steps, len(candidates.ids)))
        else:
            count = f"<div class=count>{len(candidates.ids)} <span>policies, nothing asked</span></div>"
            st.html(f"<div class=funnel>{count}</div>")
    with st.container(border=True, key="reached"):
        x, y = axes(found.names, ("x", "y"))
        chosen, pinned = place.policy(found), place.pinned(found)
        near = None if verdict.relaxation is None else verdict.relaxation.nearest
        scene = Scene(
            found.validation,
            found.names,
            candidates.frame.signs,
            look(),
            {name: reason.text for name, reason in verdict.excluded.items()},
            chosen.spec if chosen and chosen.row else near,
            pinned.spec if pinned and pinned.row else None,
            ringed="chosen" if chosen and chosen.row else "nearest",
            light="kept",
        )
        limits = [
            (found.names.index(rule.objective), rule.threshold)
            for level in verdict.levels
            for rule in level.rules
            if rule.threshold is not None
        ]
        kept = f"{len(verdict.kept)} of {len(candidates.ids)} policies keep the priorities"
        made = plane(scene, x, y, limits=limits, height=380)
        draw(made, "reached", f"{kept}; the list beneath says why the others do not.")
        st.html(legend(scene))
        st.caption(
            "Means on validation prompts with 95 % bars. Outlines are out of reach; point at one for its reason."
        )
