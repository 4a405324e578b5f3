"""The page where no run exists: how to make one, and a button that makes the smallest."""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from app import place
from app.notices import notice, told
from app.sweeping import jobs
from app.sweeping.arrivals import card
from app.sweeping.progress import Progress
from app.theme import look
from app.views.sweep import recipes
from pareto.recipe_file import read_recipe
from pareto.store.run import Run

RECIPE = "smoke.yaml"
EVERY = 1.0
"""Seconds between looks at the sweep."""


def page(root: Path) -> None:
    """What there is to do, and the smoke sweep's progress once it is started."""
    st.title("Nothing to explore yet", anchor=False)
    colours = look()
    st.html(
        f"<p style='max-width:44rem;line-height:1.6;color:{colours.muted}'>A sweep turns one base model and several "
        "objectives that pull against each other into a frontier of policies. There is no run in "
        f"<b style='color:{colours.text}'>{escape(str(root))}</b>; make one, and every page here fills with it.</p>"
    )
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, key="start_demo", height="stretch"):
        st.subheader("The demo", anchor=False)
        st.html(
            "<p style='line-height:1.6;margin:0'>A real 135M model, four objectives: harmless, honest, helpful, "
            "concise. About 20 minutes on two cores, in a terminal:</p>"
        )
        st.code("make demo", language=None)
        st.html("<p style='line-height:1.6;margin:0'>or any recipe of your own:</p>")
        st.code("pareto sweep sweeps/assistant.yaml", language=None)
    with right, st.container(border=True, key="start_smoke", height="stretch"):
        st.subheader("The smoke sweep", anchor=False)
        st.html(
            "<p style='line-height:1.6;margin:0'>The whole chain on a tiny random model, in about a minute: its "
            "answers mean nothing, but every page comes alive.</p>"
        )
        _smoke(root)


def _smoke(root: Path) -> None:
    path = next((p for p in recipes() if p.name == RECIPE), None)
    if path is None:
        notice("sweeps/smoke.yaml is not here; start the app in the folder that holds sweeps/.")
        return
    name = read_recipe(path).name
    job = jobs.find(root, f"sweep-{name}")
    if job is None or not job.alive:
        if job is not None:
            notice(job.ending(), strong="The last one stopped:", key="start_failed")
            if said := job.tail(8):
                st.code(said, language=None, wrap_lines=True)
        if st.button("Start the smoke sweep", icon=":material/play_arrow:", type="primary", key="start_sweep"):
            jobs.start(root, f"sweep-{name}", ["sweep", str(path), "--root", str(root)])
            st.rerun()
        return
    st.fragment(run_every=EVERY)(told(_follow))(root, name)


def _follow(root: Path, name: str) -> None:
    """The sweep until its end, then its run."""
    job = jobs.find(root, f"sweep-{name}")
    if job is None or not job.alive:
        if (root / name / "front.json").is_file():
            place.look_at(name)
        st.rerun()
    with st.container(key="start_progress"):
        if (root / name / "run.json").is_file():
            st.html(card(Progress.of(Run.open(root / name)), True, look()))
        else:
            notice("The libraries are loading; the first sign of the run comes in some seconds.", strong="Starting.")
        st.code(job.tail(6) or job.command, language=None, wrap_lines=True)
    if st.button("Stop", icon=":material/stop:", key="start_stop"):
        job.stop()
