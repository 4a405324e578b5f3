"""*Sweep*: how the run comes along, whoever leads it; stop it, go on with it, map it, start another."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from app import place
from app.notices import notice, told
from app.sweeping import jobs
from app.sweeping.arrivals import card, curve_figure, rows, slice_figure
from app.sweeping.jobs import Job
from app.sweeping.progress import Progress, unfinished
from app.theme import look
from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe
from pareto.store.files import write_text
from pareto.store.run import Run

TITLE = "Sweep"
EVERY, IDLE = 2.0, 15.0
"""Seconds between looks at a run: while it runs, and while it is neither running nor finished."""
PLOT = {"displayModeBar": False}


def page(run: Run) -> None:
    """The run's state above, a new sweep beneath."""
    root = run.path.parent
    progress = Progress.of(run, job=_alive(own_jobs(run)))
    every = EVERY if progress.running else None if progress.finished else IDLE
    st.fragment(run_every=every)(told(_watch))(run, every)
    st.fragment(told(_other))(root, run.path.name)


# -- the run that is looked at ---------------------------------------------------------------------------------------


def own_jobs(run: Run) -> list[Job]:
    """The jobs of a run that this machine's apps started, the latest first."""
    return [job for job in jobs.jobs(run.path.parent) if job.name.partition("-")[2] == run.path.name]


def _alive(mine: list[Job]) -> Job | None:
    return next((job for job in mine if job.alive), None)


def _watch(run: Run, every: float | None) -> None:
    mine = own_jobs(run)
    alive = _alive(mine)
    progress = Progress.of(run, job=alive)
    running = progress.running
    if every != (EVERY if running else None if progress.finished else IDLE):
        st.rerun()  # into or out of polling, and the other pages' data with it
    with st.container(border=True, key="sweep_state"):
        st.html(card(progress, running, look()))
        _actions(run, progress, alive, running)
        if not running and mine and unfinished(run, mine[0]):
            _ended(mine[0])
        for failure in progress.failures[-3:]:
            notice(failure, strong="Left out:")
    _arrived(progress)
    if mine:
        with st.expander("What it says", icon=":material/terminal:", key="sweep_log"):
            st.code(mine[0].command, language=None, wrap_lines=True)
            st.code(mine[0].tail() or "Nothing yet.", language=None, wrap_lines=True, height=320)


def _actions(run: Run, progress: Progress, alive: Job | None, running: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="sweep_actions"):
        if alive is not None:
            if st.button("Stop", icon=":material/stop:", key="sweep_stop", help="What is finished is kept"):
                alive.stop()
                st.toast("Stopping; what is finished is kept", icon=":material/stop_circle:")
        elif running:
            st.caption("Another program leads it, perhaps a terminal: stop it there.")
        elif not progress.finished:
            if st.button("Resume", icon=":material/play_arrow:", type="primary", key="sweep_resume"):
                _start_job(run.path.parent, f"sweep-{run.path.name}", resume_words(run))
        else:
            minutes = st.number_input("Minutes for the map", 1, 600, 20, key="map_minutes", width=160)
            if st.button("Make the map", icon=":material/map:", key="sweep_map", help=_MAP_HELP):
                words = ["map", run.path.name, "--root", str(run.path.parent), "--minutes", str(minutes)]
                _start_job(run.path.parent, f"map-{run.path.name}", words)


_MAP_HELP = "Measure more soups and fit which of them serves which weights best; Explore predicts from it"


def _ended(job: Job) -> None:
    """What became of a job that did not do what it was started for; a sweep's button is *Resume*."""
    notice(job.ending(), strong=f"pareto {job.words[0]}:", key="sweep_error")
    if said := job.tail(8):
        st.code(said, language=None, wrap_lines=True)
    if job.words[0] != "sweep" and st.button("Go on with it", icon=":material/play_arrow:", key="sweep_go_on"):
        _start_job(Path(job.root), job.name, list(job.words))


def resume_words(run: Run) -> list[str]:
    """The command that goes on with a run, from its own resolved recipe."""
    return ["sweep", str(run.path / "recipe.json"), "--root", str(run.path.parent)]


def _start_job(root: Path, name: str, words: list[str]) -> None:
    jobs.start(root, name, words)
    st.rerun()


def _arrived(progress: Progress) -> None:
    """Pictures and table of what is measured."""
    if progress.frame is None:
        notice("The first policy appears here once the base is measured.", key="sweep_empty")
        return
    names = list(progress.frame.objectives)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, key="sweep_slice", height="stretch"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            x = st.selectbox("Across", names, key="sweep_x", width=170)
            y = st.selectbox("Up", names, index=1, key="sweep_y", width=170)
        st.plotly_chart(slice_figure(progress, x, y, look()), config=PLOT, key="sweep_slice_chart", theme=None)
    with right, st.container(border=True, key="sweep_curve", height="stretch"):
        st.html("<div style='min-height:3.9rem;font-weight:620'>How the front grows</div>")
        st.plotly_chart(curve_figure(progress, look()), config=PLOT, key="sweep_curve_chart", theme=None)
    st.dataframe(pd.DataFrame(rows(progress)), hide_index=True, key="sweep_table")
    st.caption("Measured on validation, mean ± standard error over prompts; the latest first.")


# -- another sweep ---------------------------------------------------------------------------------------------------


def recipes() -> list[Path]:
    """``sweeps/*.yaml`` where the app was started, else beside the app."""
    here = sorted(Path("sweeps").glob("*.yaml"))
    return here or sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


def check(text: str) -> tuple[Recipe | None, str]:
    """A recipe from its text; where it is wrong, ``None`` and what is wrong, with line and column."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recipe.yaml")
        path.write_text(text, encoding="utf-8")
        try:
            return read_recipe(path), ""
        except ParetoError as e:
            return None, str(e).replace(f"{path}:", "line ")


def conflict(root: Path, recipe: Recipe) -> str:
    """Why a recipe cannot be started under its name; empty where it can."""
    if not (root / recipe.name / "run.json").is_file():
        return ""
    same = Run.open(root / recipe.name).made_by(recipe)
    return "" if same else f"the name '{recipe.name}' is taken by a run of another recipe; change its `name:`"


def _other(root: Path, looked_at: str) -> None:
    with st.container(border=True, key="sweep_new"):
        st.subheader("Start a sweep", anchor=False)
        found = {path.name: path for path in recipes()}
        if not found:
            notice("There is no recipe in sweeps/ here.")
            return
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.selectbox("Recipe", list(found), key="sweep_recipe", width=300)
            edit = st.toggle("Edit a copy", key="sweep_edit")
        path = found[name]
        text = path.read_text(encoding="utf-8")
        if edit:
            edited = st.text_area("Recipe's text", text, height=420, key=f"sweep_text_{path.stem}")
        else:
            edited = text
            st.code(text, language="yaml", height=320)
        recipe, wrong = check(edited)
        wrong = wrong or conflict(root, recipe) if recipe else wrong
        if wrong:
            notice(wrong, strong="Not yet:", key="sweep_wrong")
        running = jobs.find(root, f"sweep-{recipe.name}") if recipe else None
        busy = running is not None and running.alive
        own = path if edited == text else root / jobs.FOLDER / f"{recipe.name if recipe else name}.yaml"
        words = ["sweep", str(own), "--root", str(root)]
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(
                "Start", icon=":material/play_arrow:", type="primary", key="sweep_start", disabled=bool(wrong) or busy
            ):
                assert recipe is not None
                if own != path:
                    own.parent.mkdir(parents=True, exist_ok=True)
                    write_text(own, edited)
                jobs.start(root, f"sweep-{recipe.name}", words)
                st.rerun()
            if busy and recipe is not None and recipe.name != looked_at:
                st.fragment(run_every=EVERY)(told(_begun))(root, recipe.name, looked_at)
        st.code(shlex.join(["pareto", *words]), language=None, wrap_lines=True)


def _begun(root: Path, name: str, looked_at: str) -> None:
    """A sweep that has just been started: the way to it, once its folder is there."""
    if place.get("run") != looked_at:
        st.rerun()
    there = (root / name / "run.json").is_file()
    st.button("Look at it", key="sweep_open", on_click=place.look_at, args=(name,), disabled=not there)
    st.caption("It runs." if there else "It runs; its folder is there once its libraries are loaded.")
