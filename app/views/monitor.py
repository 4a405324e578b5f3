"""*Monitor*: is what is served still like what was measured? Alarms, drift, doubts, and both arms of a beta."""

from __future__ import annotations

from datetime import date, datetime, time

import streamlit as st

from app import traffic
from app.markup import monitor as words
from app.markup import rounds, tiles
from app.notices import notice, told
from app.theme import look
from app.views.monitor_parts import arms, charts, doubts
from pareto.store.run import Run

TITLE = "Monitor"
EVERY = 15.0
"""Seconds between looks at the log."""


def page(run: Run) -> None:
    """What ``pareto serve`` has logged of a run."""
    if not traffic.served(run):
        _start(run)
        return
    st.fragment(run_every=EVERY)(told(_traffic))(run)


def _start(run: Run) -> None:
    with st.container(border=True, key="monitor_start", width=720):
        st.subheader("No traffic yet", anchor=False)
        st.html(
            "<p style='line-height:1.6;margin:0'>A server answers OpenAI's requests at any weights of this run and "
            "logs them beside it. Of the share that is scored, this page shows whether prompts and rewards are still "
            "like those that were measured, and where reward models doubt. Start one in a terminal:</p>"
        )
        st.code(traffic.command(run), language=None, wrap_lines=True)
        st.html(
            "<p style='line-height:1.6;margin:0'><b>--score-share 0.1</b> scores a tenth of the answers, "
            "<b>--candidate RUN --beta-share 0.1</b> lets a tenth of the users try another run.</p>"
        )


def _traffic(run: Run) -> None:
    colours = look()
    st.html(tiles.css(colours) + rounds.css(colours) + words.css(colours))
    since = _since()
    found = traffic.load(run, since)
    with st.container(border=True, key="monitor_head"):
        st.html(
            f"<div class=headline data-role=headline>{words.headline(found.frame, found.alarms)}</div>"
            f"<div style='height:.9rem'></div>{words.figures(found.frame, colours)}"
        )
        if found.trouble:
            notice(
                found.trouble, strong="What the reward models' spread should be is not known:", key="monitor_trouble"
            )
    if not len(found.frame):
        st.caption("No request since then.")
        _choose_since()
        return
    with st.container(border=True, key="monitor_alarms"):
        st.subheader("What is watched", anchor=False)
        st.html(words.alarm_rows(found.alarms))
        st.caption(
            "All of these together raise a false alarm within 10,000 requests with a chance of at most 1 %, however "
            "often one looks. An alarm stays; once it is dealt with, watch from a later day."
        )
        _choose_since()
    charts(found)
    doubts(found)
    arms(found)


def _since() -> float:
    """Midnight of the day that was chosen, by the clock of this machine."""
    day: date | None = st.session_state.get("monitor_since")
    return datetime.combine(day, time()).timestamp() if day else 0.0


def _choose_since() -> None:
    st.date_input("Watch from", value=None, key="monitor_since", width=190, max_value="today")
