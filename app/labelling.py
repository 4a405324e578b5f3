"""What can be labelled, and the question that a session is asked: drawn once, kept until it is answered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from pareto.errors import ParetoError
from pareto.preferences.annotation import questions
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.preferences.annotation.shown import Pressed, Shown
from pareto.rounds.source import Source

NOW, TOLD, TROUBLE = "label_now", "label_told", "label_trouble"
"""Of the session: the question that stands, what a callback has to say, and why an answer could not be kept."""
OBJECTIVE = "label_objective"
"""Key of the choice by which objective is labelled."""


@st.cache_resource(show_spinner=False, max_entries=32)
def shared_queue(folder: Path) -> AnnotationQueue:
    """One for all sessions, which read each line of it once."""
    return AnnotationQueue(folder)


@dataclass(frozen=True)
class Standing:
    """The question on the page."""

    source: Source
    person: str
    shown: Shown
    since: float = field(default_factory=time.monotonic)


def question(source: Source, person: str, objective: str) -> Standing | None:
    """The question that stands for this session, or a new one; ``None``: nothing waits.

    Args:
        source: whose.
        person: who answers.
        objective: by which two answers are compared.
    """
    stands: Standing | None = st.session_state.get(NOW)
    if stands is not None:
        of = (stands.source.queue.folder, stands.person, stands.shown.question.objective)
        if of == (source.queue.folder, person, objective):
            return stands
    shown = source.queue.next(person, objective)
    st.session_state[NOW] = stands = None if shown is None else Standing(source, person, shown)
    return stands


def answer(pressed: Pressed) -> None:
    """Keep the answer to the question that stands; a callback."""
    stands: Standing | None = st.session_state.get(NOW)
    if stands is None:  # two keys at once: the second has no question any more
        return
    spent = round(1000 * (time.monotonic() - stands.since))
    try:
        stands.source.queue.record(stands.shown.label(pressed, stands.person, spent))
    except ParetoError as e:  # a full disk: the question stays
        st.session_state[TROUBLE] = str(e)
        return
    drop()


def undo(source: Source, person: str) -> None:
    """Take the person's last answer back and ask the same again, on the same sides; a callback."""
    try:
        taken = source.queue.undo(person)
    except ParetoError as e:
        st.session_state[TROUBLE] = str(e)
        return
    st.session_state[TOLD] = "There is nothing to take back" if taken is None else "Your last answer is taken back"
    if taken is None:
        return
    drop()
    asked = next((q for q in source.queue.questions if (q.key, q.round) == (taken.key, taken.round)), None)
    if asked is not None and asked.objective in source.objectives:
        st.session_state[OBJECTIVE] = asked.objective
        st.session_state[NOW] = Standing(source, person, Shown(asked, taken.swapped, repeated=False))


def drop() -> None:
    """Forget the question that stands."""
    st.session_state.pop(NOW, None)


def make(source: Source, objective: str) -> None:
    """Ask about a run's measured completions; a callback. Which is left to chance, other ones every time."""
    assert source.run is not None
    queue = source.queue
    try:
        new = queue.ask(questions.from_run(source.run, objective, seed=len(queue.questions)))
    except ParetoError as e:
        st.session_state[TROUBLE] = str(e)
        return
    st.session_state[TOLD] = f"{new} questions wait" if new else "Every two answers that differ are asked about already"
