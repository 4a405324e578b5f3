"""Explore, several answers to choose from: how many, under what, and all of them with their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import place
from app.data import Data
from app.looks import Look
from app.markup import candidates
from app.place import Policy

if TYPE_CHECKING:
    from app.live.choosing import Choice
    from app.live.voices import Job

COUNTS = (1, 2, 4, 8, 16)


def setting() -> None:
    """How many answers the chosen policy draws."""
    st.select_slider(
        "Answers to choose from", COUNTS, 1, key="draws",
        help="The chosen policy answers so many times; the best by your weights and priorities is its answer",
    )  # fmt: skip


def choice(found: Data, policy: Policy) -> Choice | None:
    """How the best answer is to be chosen, by what stands now; ``None``: one answer is drawn."""
    from app.live.choosing import Choice

    n = int(st.session_state.get("draws", 1))
    if n == 1:
        return None
    weights = policy.weights or place.weights(found.names)
    return Choice(n, tuple(weights.get(name, 0.0) for name in found.names), place.levels(found))


def note(job: Job) -> str:
    """How far the choice has come; empty where there is none."""
    if job.choice is None or job.state == "waiting":
        return ""
    n, written = job.choice.n, sum(draft.ended for draft in job.drafts)
    if job.state == "running":
        return f"The first of {n} answers; {written} of {n} are written."
    if job.state == "measuring":
        return f"The first of {n} answers; the best is about to be chosen."
    return f"The best of {n} answers." if job.best else f"The first of {n} answers; none was chosen."


def table(job: Job, names: tuple[str, ...], colours: Look) -> None:
    """All answers, folded."""
    if job.best is None or job.choice is None:
        return
    weights = dict(zip(names, job.choice.weights, strict=True))
    with st.expander(f"All {len(job.best.candidates)} answers", key="explore_candidates"):
        st.html(candidates.candidates_html(job.best, names, weights, colours))
