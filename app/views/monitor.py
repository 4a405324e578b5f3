"""*Monitor*: is what is served still like what was measured? Alarms, drift, doubts, and both arms of a beta."""

from __future__ import annotations

from datetime import date, datetime, time

import streamlit as st

from app import traffic
from app.markup import monitor as words
from app.markup import rounds, tiles
from app.notices import notice, told
from app.theme import look
from app.views.empty import empty
from app.views.monitor_parts import arms, charts, doubts, watched
from pareto.store.run import Run

TITLE = "Monitor"
EVERY = 15.0
"""Seconds between looks at the log."""
WHY = (
    "A server answers OpenAI's requests at any weights of this run and logs them beside it. Of the share that is "
    "scored, this page shows whether prompts and rewards are still like those that were measured, and where reward "
    "models doubt. Start one in a terminal:"
)
MORE = (
    "<b>--score-share 0.1</b> scores a tenth of the answers, <b>--candidate RUN --beta-share 0.1</b> lets a tenth of "
    "the users try another run."
)


def page(run: Run) -> None:
    """What ``pareto serve`` has logged of a run."""
    if not traffic.served(run):
        empty("No traffic yet", WHY, traffic.command(run), MORE, key="monitor_start")
        return
    with st.spinner("Reading the traffic"):
        traffic.frame(run, _since())  # here, since later looks are to leave the page as it stands meanwhile
    st.fragment(run_every=EVERY)(told(_traffic))(run)


def _traffic(run: Run) -> None:
    colours = look()
    st.html(tiles.css(colours) + rounds.css(colours) + words.css(colours))
    since = _since()
    frame = traffic.frame(run, since)
    if not len(frame):
        _nothing(since)
        return
    with st.container(border=True, key="monitor_head"):
        headline = st.container()
        st.html(f"<div style='margin-top:.6rem'>{words.figures(frame, colours)}</div>")
        st.caption(words.span(frame))
    found = traffic.load(run, since)
    with headline:
        st.html(f"<div class=headline data-role=headline>{words.headline(found.frame, found.alarms)}</div>")
        if found.lost.records:
            said = f"{found.lost.records:,} records of this time ({found.lost.reason})."
            notice(said, strong="Not all is here, a server could not log", key="monitor_lost")
        if traffic.crammed(run):
            notice("a server cannot log now.", strong="The disk is full:", key="monitor_full")
        if found.trouble:
            notice(
                found.trouble, strong="What the reward models' spread should be is not known:", key="monitor_trouble"
            )
    with st.container(border=True, key="monitor_alarms"):
        st.subheader("What is watched", anchor=False)
        watched(found)
        st.caption(
            "The number is evidence: how many times its stake a bet against “nothing has changed” would have won. "
            "However often one looks, all of these together raise a false alarm within 10,000 requests with a chance "
            "of at most 1 %. An alarm stays; once it is dealt with, watch from a later day."
        )
        _choose_since()
    charts(found)
    doubts(found)
    arms(found)


def _nothing(since: float) -> None:
    with st.container(border=True, key="monitor_head"):
        st.html("<div class=headline data-role=headline>No request yet</div>")
        if since:
            st.caption("None came since that day.")
            _choose_since()
        else:
            st.caption("The log is begun; this page looks again by itself.")


def _since() -> float:
    """Midnight of the day that was chosen, by the clock of this machine."""
    day: date | None = st.session_state.get("monitor_since")
    return datetime.combine(day, time()).timestamp() if day else 0.0


def _choose_since() -> None:
    st.date_input("Watch from", value=None, key="monitor_since", width=190, max_value="today")
