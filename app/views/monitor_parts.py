"""*Monitor*, beneath the alarms: pictures, the answers that want a person to look, and both arms."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.charts.monitor import evidence, spreads, surprises
from app.markup import monitor as words
from app.markup.tiles import sheet
from app.theme import look
from app.traffic import SHOWN, Traffic

PLOT = {"displayModeBar": False}


def charts(found: Traffic) -> None:
    """Evidence of drift, and beside it the ensembles' spread, or without ensembles the rewards themselves."""
    frame, names = found.frame, found.names
    left, right = st.columns([1.12, 1], gap="medium")
    with left, st.container(border=True, key="monitor_drift", height="stretch"):
        st.subheader("Evidence of drift", anchor=False)
        raised = sum(a.state == "raised" for a in found.alarms)
        _draw(evidence(found.alarms, names, look(), 320), "evidence", f"Evidence by request; {raised} above threshold")
        st.caption(
            "How strongly each test speaks against “nothing has changed”; one line per row above. Thick: what has "
            "raised an alarm."
        )
    with right, st.container(border=True, key="monitor_spread", height="stretch"):
        doubting = [n for n in names if n in frame.spreads]
        if doubting:
            st.subheader("Spread over time", anchor=False)
            picture = spreads(frame, found.usual, names, look(), 320)
            _draw(picture, "spread", f"Spread among the reward models of {', '.join(doubting)} by time")
            lines = (
                " On validation half lay below the dotted line; above the dashed one a person is asked to look."
                if found.usual
                else ""
            )
            st.caption(f"How much an ensemble's members disagree: medians of requests one after another.{lines}")
        else:
            st.subheader("Rewards over time", anchor=False)
            _draw(surprises(frame, names, look(), 320), "surprise", "Rewards minus what was predicted by time")
            st.caption(
                "What answers earned beyond what was predicted of their weights, in standard deviations; means of "
                "requests one after another. No objective has an ensemble of reward models that could doubt."
            )


def doubts(found: Traffic) -> None:
    """The latest answers that are flagged for review."""
    if not any(n in found.frame.spreads for n in found.names):
        return
    with st.container(border=True, key="monitor_flagged"):
        st.subheader("Flagged for review", anchor=False)
        if not found.flagged:
            st.caption("No scored answer was flagged.")
            return
        st.html(
            "".join(
                words.flagged_row(f.served.time, f.served.model, f.spreads, f.served.prompt, f.served.answer)
                for f in found.flagged
            )
        )
        said = f"The latest {SHOWN}. " if len(found.flagged) == SHOWN else ""
        if any(f.served.prompt is None for f in found.flagged):
            said += "Texts are kept where the server is started with --store-prompts."
        if said:
            st.caption(said)


def arms(found: Traffic) -> None:
    """The candidate run against the main one, where both have served."""
    compared = found.compared
    if not all(compared.requests.values()):
        return
    with st.container(border=True, key="monitor_arms"):
        st.subheader("Candidate against main", anchor=False)
        head, rows = words.compared_rows(compared, found.names)
        if rows:
            st.html(f"<div class=wide>{sheet(head, rows)}</div>")
        else:
            st.caption("Neither scores nor feedback of both are known yet.")
        st.caption(
            f"{compared.users['main']} and {compared.users['candidate']} users, each counted once; 95 % intervals; p "
            "after Holm's correction. Decide beforehand when to look: each look may err in 5 %."
        )


def _draw(made: Any, name: str, alt: str) -> None:
    st.plotly_chart(made, theme=None, key=f"monitor_chart_{name}", config=PLOT, alt=alt)
