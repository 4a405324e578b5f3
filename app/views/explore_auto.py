"""Explore, weights from the prompt: what is asked moves the preference to what the run has learned for such prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from app import data as run_data
from app import place
from app.data import Data
from app.live.engine import SCORING
from app.markup import marks
from pareto.choice.admission import admit
from pareto.choice.levels import parse_levels
from pareto.errors import ParetoError
from pareto.frontier import find_point
from pareto.store.run import Run

if TYPE_CHECKING:
    from pareto.inference.auto_weights.auto import Auto, AutoWeights

AUTO, TOLD, ASKED = "auto_weights", "auto_told", "auto_asked"
"""Session: the toggle; the run, the policy that was taken from a prompt and why; and the prompt whose
policy is to be taken next."""


def toggle(found: Data) -> None:
    """The toggle with, beneath it, the reason for what stands or what has to be done first."""
    missing = ""
    try:
        _learned(found)
    except ParetoError as e:
        missing = str(e)
    if missing:
        st.session_state[AUTO] = False
    st.toggle(
        "Weights from the prompt", key=AUTO, disabled=bool(missing),
        help="Asking moves the preference to what was learned for prompts like yours; priorities stand above it",
    )  # fmt: skip
    if missing:
        st.html(marks.line(missing))
    elif told := standing(found):
        st.html(f"<div role='status'>{marks.line(told)}</div>")
    elif st.session_state[AUTO]:
        st.html(marks.line("Ask something: the weights come from what you ask."))


def standing(found: Data) -> str:
    """Why the policy that stands was taken, or not, for the last prompt; empty once another is chosen."""
    path, policy, told = st.session_state.get(TOLD, ("", None, ""))
    return told if (path, policy) == (str(found.run.path), place.get("policy")) else ""


def want(prompt: str) -> None:
    """A prompt is asked: what suits it is to be taken first, where the person wants that."""
    if st.session_state.get(AUTO):
        st.session_state[ASKED] = prompt


def wanted() -> bool:
    """Whether ``settle`` has something to do."""
    return ASKED in st.session_state


def settle(found: Data) -> None:
    """Move the preference to what suits the prompt that is asked.

    Before the sliders are drawn, and not in a callback: a question redraws its own part of the page alone, and the
    browser, which would not hear of the sliders' new places, would move them back.
    """
    if not wanted():
        return
    prompt, told = st.session_state[ASKED], ""
    try:
        learned = _learned(found)
        if not learned.allowed:
            told = "Declined: no policy with weights keeps the priorities; what stood before stands."
        else:
            with SCORING:
                taken = learned.take(prompt)
            place.put_weights(found.names, taken.point.weights or dict.fromkeys(found.names, 1.0))
            place.put("policy", taken.point.id)
            told = sentence(taken)
    except ParetoError as e:
        told = str(e)
    st.session_state[TOLD] = (str(found.run.path), place.get("policy"), told)
    del st.session_state[ASKED]  # last: a run of the script that is cut short leaves it to the next


def sentence(taken: Auto) -> str:
    """Which weights a prompt gets, and why."""
    near = " and ".join(f"{n} of {kind}" for kind, n in list(taken.types.items())[:2])
    given = sorted((taken.point.weights or {}).items(), key=lambda item: -item[1])
    weights = ", ".join(f"{name} {share:.2f}" for name, share in given if share)
    reason, _, _ = taken.reason.partition(" (nearest prompts:")
    barred = f"; {taken.barred} would be taken, but breaks a priority" if taken.barred else ""
    return f"Nearest prompts: {near}. {reason[:1].upper()}{reason[1:]}{barred}. Weights: {weights or 'none'}."


def _learned(found: Data) -> AutoWeights:
    return _open(str(found.run.path), _stamp(found.run), place.rules(found))


def _stamp(run: Run) -> tuple[float, ...]:
    from pareto.inference.auto_weights.kept import FILE

    path = run.path / FILE
    return (*run_data.stamp(run), path.stat().st_mtime if path.is_file() else 0.0)


@st.cache_resource(show_spinner=False, max_entries=16)
def _open(path: str, when: tuple[float, ...], rules: str) -> AutoWeights:
    """What the run has learned, under the priorities of the session rather than the run's own.

    Raises:
        ParetoError: see ``AutoWeights.open``.
    """
    from pareto.inference.auto_weights.auto import AutoWeights

    run = Run.open(path)
    learned = AutoWeights.open(run)
    if not rules:
        return replace(learned, allowed=learned.kept.learned.ids)
    verdict = run_data.verdict(run_data.load(run), rules)
    levels = parse_levels(rules, run.recipe.names)
    kept = (n for n in learned.kept.learned.ids if admit(run, find_point(run, n), levels, verdict).kept)
    return replace(learned, allowed=tuple(kept))
