"""Which series of rounds a session looks at, and which run is a round of which series."""

from __future__ import annotations

import shlex
from pathlib import Path

import streamlit as st

from app import data, place
from app.views.sweep import recipes
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe
from pareto.rounds.store import Rounds, list_rounds, owner
from pareto.store.run import Run

_RUN = "series_run"
"""Of the session: the run in the header when the series was last looked up."""


def chosen(root: Path, run: Run | None) -> str | None:
    """The series that is looked at; ``None`` where there is none.

    What was chosen or a link names; but the run in the header decides where it is a round and was chosen later.
    """
    names, here = list_rounds(root), "" if run is None else run.path.name
    own = owner(root, here)
    if own and st.session_state.get(_RUN, here) != here:
        place.put("series", own)
    st.session_state[_RUN] = here
    asked = place.get("series")
    return asked if asked in names else own or (names[0] if names else None)


def choose(root: Path, name: str) -> None:
    """Look at another series, and at the run of its last round where it has one; a callback."""
    place.put("series", name)
    own = [run for run in data.runs(root) if owner(root, run) == name]
    if own:
        place.look_at(max(own, key=lambda run: int(run.rpartition("-")[2])))
        st.session_state[_RUN] = st.session_state["run"]


def command(series: Rounds) -> str:
    """What starts a series and goes on with it, as a person would type it."""
    return shlex.join(["pareto", "rounds", _recipe(series.name) or f"{series.name}.yaml", *_root(series.path.parent)])


def start_command(root: Path) -> str:
    """What starts a series where there is none."""
    found = next((str(p) for p in recipes() if p.name == "assistant.yaml"), "recipe.yaml")
    return shlex.join(["pareto", "rounds", found, "--rounds", "3", *_root(root)])


def _root(root: Path) -> list[str]:
    return [] if root == Path("runs").absolute() or root == Path("runs") else ["--root", str(root)]


def _recipe(name: str) -> str | None:
    """The recipe of that name among those that the app finds."""
    for path in recipes():
        try:
            if read_recipe(path).name == name:
                return str(path)
        except ParetoError:  # another recipe's mistakes are no business of this page
            continue
    return None
