"""*Duel*, what follows from the answers: the policy to take or to go on, the weights to use, the answers as a file."""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path

import streamlit as st

from app import person as who
from app import place
from app.duelling import drop
from app.markup.weights import sliders
from app.notices import notice
from app.theme import look
from pareto.choice.user_study.result import Result
from pareto.choice.user_study.study import Study

LIKELY = 0.5
"""Probability of being the best from which on a policy is named, where the advice is not yet to stop."""


def advice(study: Study, result: Result, person: str, out: frozenset[str]) -> None:
    """The best policy, if one is likely to be, whether to go on, and what can be done now.

    Args:
        study: the run's.
        result: what its answers say.
        person: who answers.
        out: ids of its policies that the priorities put out of reach.
    """
    colours = look()
    early = result.duels > 0 and not result.stop and result.p_best < LIKELY
    skipped = result.answered - result.duels
    counted = ("1 duel" if result.duels == 1 else f"{result.duels} duels") + (
        f", {skipped} more without a preference" if skipped else ""
    )
    text = f"Go on: after {counted}, no policy is likely to be the best." if early else result.text
    st.html(
        f"<div style='color:{colours.muted};font-size:.87rem'>{escape(person)} · {counted}</div>"
        + (
            f"<div style='font-size:1.25rem;font-weight:620;margin:.35rem 0;overflow-wrap:anywhere' "
            f"data-role='best'>{_best(result, early)}</div>"
            if result.duels
            else ""
        )
        + f"<div style='line-height:1.55' data-stop='{str(result.stop).lower()}'>{escape(text)}</div>"
        f"<div style='color:{colours.muted};line-height:1.55;margin-top:.6rem'>Between people: "
        f"{escape(study.agreement().text)}.</div>"
    )
    if study.torn:
        notice(f"{study.torn} lines of the answers' file cannot be read and are left out.")
    none = result.duels == 0
    with st.container(horizontal=True, key="duel_actions"):
        st.button(
            "Use these weights", key="duel_use", icon=":material/tune:", disabled=none, on_click=_use, args=(result,)
        )
        st.button(
            "Take the best policy", key="duel_take", icon=":material/check:",
            disabled=none or early or result.best in out, on_click=_take, args=(result.best,),
            help="Too early to tell: answer more duels first." if early else
            "The best policy is out of reach under the priorities in force." if result.best in out else None,
        )  # fmt: skip
        st.download_button(
            "JSONL", _jsonl(study), f"{study.run.path.name}-duels.jsonl", "application/jsonl",
            key="duel_export", icon=":material/download:", disabled=not study.duels, on_click="ignore",
        )  # fmt: skip
        st.button("Someone else", key="duel_leave", icon=":material/group:", on_click=_leave)


def _best(result: Result, early: bool) -> str:
    """The heading of the advice."""
    if early:
        return "Too early to tell"
    likely = f"best with {result.p_best:.0%}"
    return f"{escape(result.best)} <span class='mute' style='font-weight:400;font-size:1rem'>{likely}</span>"


def _use(result: Result) -> None:
    for name, step in sliders(result.weights, place.STEPS).items():
        st.session_state[f"w_{name}"] = step
    place.put("policy", None)
    st.session_state["duel_told"] = "Explore and Export now stand at these weights"


def _take(best: str) -> None:
    place.put("policy", best)
    st.session_state["duel_told"] = "The best policy is the chosen one now, on every page"


def _leave() -> None:
    who.leave()
    drop()


def _jsonl(study: Study) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "duels.jsonl")
        study.export(path)
        return path.read_bytes()
