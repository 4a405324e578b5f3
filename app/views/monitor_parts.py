"""*Monitor*, beneath the alarms: pictures, the answers that want a person to look, and both arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.charts.monitor import evidence, spreads, surprises
from app.markup import monitor as words
from app.markup.tiles import sheet
from app.theme import look
from app.traffic import SHOWN, Traffic
from pareto.traffic.arms import Compared
from pareto.traffic.frame import by_whom
from pareto.traffic.records import Served

EXAMPLES = "The most unusual requests since then"
PLOT = {"displayModeBar": False}


def watched(found: Traffic) -> None:
    """Everything that is watched: what is raised first, and beneath it the requests that it names."""
    order = {"raised": 0, "quiet": 1, "waiting": 2}
    alarms = sorted(found.alarms, key=lambda a: order[a.state])
    with st.container(gap=None):
        for a in alarms:
            st.html(words.alarm_rows([a]))
            examples = [found.named[id] for id in a.examples if id in found.named]
            if examples:
                with st.expander(EXAMPLES, key=f"monitor_examples_{a.name}", type="compact"), st.container(gap=None):
                    for served in examples:
                        _request(served, a.name)


def _request(served: Served, within: str, spreads: Mapping[str, float] | None = None) -> None:
    """In a container of its own, known by its key: an opened one stays open when others come before it."""
    with st.container(key=f"monitor_request_{within}_{served.id}", gap=None):
        st.html(words.request_row(served, spreads))


def charts(found: Traffic) -> None:
    """Evidence of drift, and beside it the ensembles' spread, or without ensembles the rewards themselves."""
    frame, names = found.frame, found.names
    left, right = st.columns([1.12, 1], gap="medium")
    with left, st.container(border=True, key="monitor_drift", height="stretch"):
        st.subheader("Evidence of drift", anchor=False)
        raised = sum(a.state == "raised" for a in found.alarms)
        _draw(evidence(found.alarms, names, look(), 320), "evidence", f"Evidence by request; {raised} above threshold")
        st.caption("One line per row above, as the evidence was after each request. Thick: alarms.")
    with right, st.container(border=True, key="monitor_spread", height="stretch"):
        doubting = [n for n in names if n in frame.spreads]
        if doubting:
            st.subheader("Spread over time", anchor=False)
            picture = spreads(frame, found.usual, names, look(), 320)
            _draw(picture, "spread", f"Spread among the reward models of {', '.join(doubting)} by time")
            lines = (
                " Dotted: validation's median; above the dashed line a person is asked to look." if found.usual else ""
            )
            st.caption(
                "How much an ensemble's members disagree: their standard deviation, medians of requests one after "
                f"another with 95 % intervals.{lines}"
            )
        else:
            st.subheader("Rewards over time", anchor=False)
            _draw(surprises(frame, names, look(), 320), "surprise", "Rewards minus what was predicted by time")
            st.caption(
                "What answers earned beyond what was predicted of their weights, in standard deviations: means of "
                "requests one after another with 95 % intervals. No objective has an ensemble of reward models that "
                "could doubt."
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
        with st.container(gap=None):
            for f in found.flagged:
                _request(f.served, "flagged", f.spreads)
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
            f"Main {_whose(compared, 'main')}; candidate {_whose(compared, 'candidate')}; each counted once. In "
            "brackets: 95 % intervals. p: how often a difference as large would come of nothing, corrected for the "
            "number of rows (Holm). Decide beforehand when to look: each look may err in 5 %."
        )


def _whose(compared: Compared, arm: str) -> str:
    return by_whom(compared.users[arm], compared.anonymous[arm])


def _draw(made: Any, name: str, alt: str) -> None:
    st.plotly_chart(made, theme=None, key=f"monitor_chart_{name}", config=PLOT, alt=alt)
