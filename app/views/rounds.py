"""*Rounds*: did another round help, and can the reward models still be trusted? Fronts, gap, labels, doubts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

from app import data, place, series
from app.markup import rounds as words
from app.markup import tiles
from app.notices import notice, told
from app.round_records import Round, rounds
from app.theme import look
from app.views.empty import empty
from app.views.frontier_parts import link
from app.views.rounds_parts import charts, sheet_of_rounds
from app.views.rounds_review import review
from pareto.errors import ParetoError
from pareto.rounds.store import Rounds, list_rounds
from pareto.store.run import Run

TITLE = "Rounds"
EVERY = 15.0
"""Seconds between looks at a series that has rounds to come."""
WHY = (
    "A round asks the policies of the front, has some of their answers compared, refits one ensemble of reward models "
    "per objective on all comparisons so far, trains on it, and measures the new front, also under gold rewards that "
    "nothing is trained on. Start some in a terminal:"
)
MORE = "With <b>--annotator person</b>, people answer on the page Label and the rounds wait for them."


def page(run: Run | None) -> None:
    """The series of rounds that the run in the header belongs to, or another.

    Args:
        run: in the header; ``None`` where there is no run yet, but rounds that wait for labels.
    """
    root = Path(st.session_state["root"]) if run is None else run.path.parent
    name = series.chosen(root, run)
    if name is None:
        empty("No rounds yet", WHY, series.start_command(root), MORE, key="rounds_start")
        return
    names = list_rounds(root)
    if len(names) > 1:
        st.session_state["rounds_series"] = name
        st.selectbox("Series", names, key="rounds_series", width=320, on_change=partial(_other, root))
    st.query_params["series"] = name
    opened = Rounds.open(name, root)
    st.fragment(run_every=None if _finished(opened) else EVERY)(told(_series))(opened)


def _other(root: Path) -> None:
    series.choose(root, st.session_state["rounds_series"])


def _finished(opened: Rounds) -> bool:
    """Whether no more rounds are to come; a damaged series has none."""
    try:
        records = opened.records
        return len(records) >= opened.recipe.rounds.count or bool(records and records[-1].get("stop"))
    except ParetoError:
        return True


def _series(opened: Rounds) -> None:
    colours = look()
    st.html(tiles.css(colours) + words.css(colours))
    made: list[Round] = []
    try:
        records = opened.records
        made = rounds(records)
    except ParetoError as e:
        notice(str(e), strong="The records cannot be read:", key="rounds_damaged")
    else:
        _head(opened, made)
        if made:
            charts(records, made, opened.recipe.names)
            sheet_of_rounds(made, opened.recipe.names)
            _links(opened, made)
    review(opened, len(made) + 1)


def _head(opened: Rounds, made: list[Round]) -> None:
    """What came of it in one sentence, what to beware of, and what it waits for."""
    with st.container(border=True, key="rounds_head"):
        if made:
            st.html(words.headline_html(made))
        else:
            st.html("<div class=headline>No round is finished yet</div>")
        if made and made[-1].stop:
            notice(made[-1].stop, strong="It stopped early:", key="rounds_stop")
        for flag in made[-1].flags if made else ():
            notice(flag, strong=f"Round {made[-1].round}:", key=None)
        if not _finished(opened):
            _next(opened, len(made) + 1)
    earlier = [(r.round, flag) for r in made[:-1] for flag in r.flags]
    if earlier:
        with st.expander(f"{len(earlier)} warning{'s' * (len(earlier) > 1)} of earlier rounds", key="rounds_earlier"):
            for number, flag in earlier:
                notice(flag, strong=f"Round {number}:")


def _next(opened: Rounds, number: int) -> None:
    """Where the round that is not finished stands."""
    waiting = len(opened.queue.waiting(round=number)) if opened.recipe.rounds.labels.annotator == "person" else 0
    if waiting:
        asked = f"{waiting} answers" if waiting > 1 else "one answer"
        notice(f"{asked} of people; then give the same command again.", strong=f"Round {number} waits for")
        link("label", "Label", "rounds_label", ":material/how_to_vote:")
    else:
        notice("what is finished is kept; this command goes on with it.", strong=f"Round {number} is not finished:")
    st.code(series.command(opened), language=None, wrap_lines=True)


def _links(opened: Rounds, made: list[Round]) -> None:
    """From a round to its run: its own front on every page."""
    here, there = st.session_state.get("run"), data.runs(opened.path.parent)
    with st.container(horizontal=True, vertical_alignment="center", key="rounds_runs"):
        st.html("<span class=mute>Look at the run of</span>", width="content")
        for r in made:
            st.button(
                f"Round {r.round}", key=f"rounds_run_{r.round}", disabled=r.run not in there or r.run == here,
                on_click=place.look_at, args=(r.run,), help=f"Every page then shows {r.run}",
            )  # fmt: skip
