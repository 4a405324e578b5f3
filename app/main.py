"""Routes: which run, which page. ``pareto app`` starts it; arguments after ``--`` are the root of runs and a run."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from types import ModuleType

import streamlit as st

from app import data, links, looks, place
from app.notices import notice, told
from app.theme import look
from app.views import duel, explore, export, frontier, label, monitor, priorities, rounds, start, sweep
from pareto.errors import ParetoError
from pareto.rounds.store import list_rounds
from pareto.store.run import Run

PAGES = (frontier, explore, priorities, duel, label, rounds, sweep, export, monitor)


def main() -> None:
    """Draw the page that the address asks for."""
    st.set_page_config(page_title="Pareto", page_icon=str(Path(__file__).parent / "static" / "icon.png"), layout="wide")
    asked = argparse.ArgumentParser()
    asked.add_argument("--root", type=Path, default=Path("runs"))
    asked.add_argument("--run")
    arguments = asked.parse_args()
    st.session_state["root"] = str(arguments.root)
    run = _run(arguments.root, arguments.run)
    pages = [
        st.Page(
            partial(_page, module, run),
            title=module.TITLE,
            url_path=module.__name__.rpartition(".")[2],
            default=module is frontier,
        )
        for module in PAGES
    ]
    st.navigation(pages, position="top").run()


def _run(root: Path, preferred: str | None) -> Run | None:
    """The run that is looked at: chosen in the header, by a link, by the command line, or the latest."""
    names = data.runs(root)
    if not names:
        return None
    first = preferred if preferred in names else names[0]
    chosen = place.get("run")
    if not chosen:
        place.put("run", first)
        return Run.open(root / first)
    if chosen not in names:  # a broken link, or taken away meanwhile
        links.another_run(chosen, first)
        chosen = first
    return Run.open(root / chosen)


def _page(module: ModuleType, run: Run | None) -> None:
    """One page beneath the choice of the run; what a user can put right is one line, not a traceback."""
    st.html(looks.page_css(look()))
    root = Path(st.session_state["root"])
    if run is None:
        if module in (label, rounds) and list_rounds(root):  # a first round waits for labels before it has a run
            st.title(module.TITLE, anchor=False)
            told(module.page)(None)
        else:
            start.page(root)
        return
    place.keep_address()
    if module is not explore:
        place.keep_weights(run.recipe.names)
    try:
        with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
            st.title(module.TITLE, anchor=False)
            names = data.runs(root)
            # Not bound to the address: every page has this widget, and a change of page would forget it.
            st.session_state["run"] = run.path.name
            st.selectbox("Run", names, key="run", width=220, label_visibility="collapsed", on_change=_other_run)
        links.check(run)
        links.tell(module.TITLE, run)
        module.page(run)
    except ParetoError as e:
        notice(str(e), key="trouble")


def _other_run() -> None:
    place.look_at(st.session_state["run"])


main()
