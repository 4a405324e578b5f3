"""The form of the page Priorities: levels in order, each with its objectives, thresholds, tolerances and confidence.

The priorities in force are those of ``app.place``; the form is a draft of them. It is drawn anew, under a new version
of its keys, whenever something other than its own fields changed them.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from app import place
from app.data import Data
from app.draft import SURE, Draft, added, built, drafts, moved, step, sure, with_objectives
from app.looks import glyph
from app.theme import look
from pareto.choice.candidates import Candidates
from pareto.config import Rule

MEAN = 0.0
"""Stands for "on the mean" among confidences in a select."""


def levels_form(found: Data, candidates: Candidates) -> None:
    """Draw the form; every change is in force at once, as far as it is complete."""
    if st.session_state.get("draft_of") != _mark(found):
        _begin(found, drafts(place.levels(found)))
    forms: list[Draft] = st.session_state["draft"]
    _, lacking = built(forms, candidates.minimised)
    for k, form in enumerate(forms):
        _level(found, candidates, k, form, len(forms), lacking.get(k))
    if not forms:
        st.html("<div class=mute>Nothing is asked yet: every policy is within reach.</div>")
    st.button(
        "Add a level",
        key="add_level",
        icon=":material/add:",
        on_click=lambda: _change(found, candidates, added(_now(candidates), candidates)),
    )


def _level(found: Data, candidates: Candidates, k: int, form: Draft, count: int, lacking: str | None) -> None:
    names = found.names
    with st.container(border=True, key=f"level_{k}"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.html(f"<b>Level {k + 1}</b>", width="content")
            with st.container(horizontal=True, width="content", gap="xxsmall"):
                _arrow(found, candidates, k, -1, k > 0)
                _arrow(found, candidates, k, 1, k < count - 1)
                st.button(
                    "", key=f"remove_{k}", icon=":material/close:", help="Remove this level", type="tertiary",
                    on_click=lambda: _change(found, candidates, [f for i, f in enumerate(_now(candidates)) if i != k]),
                )  # fmt: skip
        _field(f"objectives_{k}", [rule.objective for rule in form.rules])
        st.multiselect(
            "Objectives", names, key=_key(f"objectives_{k}"), label_visibility="collapsed",
            placeholder="Choose objectives", on_change=lambda: _objectives(found, candidates, k),
        )  # fmt: skip
        for rule in form.rules:
            _rule(found, candidates, k, rule)
        # A select has no option None: that is its empty state.
        offered = [c or MEAN for c in (SURE if form.confidence in SURE else (*SURE, form.confidence))]
        _field(f"sure_{k}", form.confidence or MEAN)
        st.selectbox(
            "How sure", offered, key=_key(f"sure_{k}"), format_func=lambda c: sure(c or None), width=170,
            help="The confidence holds for all policies together: however many there are to choose from, one that "
            "truly breaks this level is kept with at most the remaining chance.",
            on_change=lambda: _edited(found, candidates),
        )  # fmt: skip
        if lacking:
            st.html(f"<div class=mute role=status>Not in force yet: {html.escape(lacking)}.</div>")


def _rule(found: Data, candidates: Candidates, k: int, rule: Rule) -> None:
    """Threshold and tolerance of one objective, both optional."""
    name, at = rule.objective, found.names.index(rule.objective)
    side = "at most" if name in candidates.minimised else "at least"
    unit = step(candidates.frame.scale[at])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"rule_{k}_{at}"):
        mark = f"<span aria-hidden=true style='color:{look().colour(at)}'>{glyph(at)}</span>"
        st.html(
            f"<div style='padding-bottom:.55rem;min-width:6.5rem'>{mark} {html.escape(name)}</div>", width="content"
        )
        for what, label, value, least in (
            ("threshold", side, rule.threshold, None),
            ("within", "within … of best", rule.within, 0.0),
        ):
            _field(f"{what}_{k}_{at}", value)
            st.number_input(
                label, min_value=least, value=None, step=unit, format="%g", key=_key(f"{what}_{k}_{at}"),
                placeholder="–", width=138, on_change=lambda: _edited(found, candidates),
            )  # fmt: skip


def _arrow(found: Data, candidates: Candidates, k: int, by: int, possible: bool) -> None:
    st.button(
        "", key=f"{'up' if by < 0 else 'down'}_{k}", icon=f":material/arrow_{'up' if by < 0 else 'down'}ward:",
        help="More important" if by < 0 else "Less important", type="tertiary", disabled=not possible,
        on_click=lambda: _change(found, candidates, moved(_now(candidates), k, by)),
    )  # fmt: skip


def _objectives(found: Data, candidates: Candidates, k: int) -> None:
    forms = _now(candidates)
    forms[k] = with_objectives(forms[k], st.session_state[_key(f"objectives_{k}")], candidates)
    _change(found, candidates, forms)


def _edited(found: Data, candidates: Candidates) -> None:
    """A field changed: the form stays as it is drawn, the priorities follow."""
    forms = _now(candidates)
    st.session_state["draft"] = forms
    _apply(found, candidates, forms)


def _change(found: Data, candidates: Candidates, forms: Sequence[Draft]) -> None:
    """The form itself changed: it is drawn anew."""
    _begin(found, forms)
    _apply(found, candidates, forms)


def _apply(found: Data, candidates: Candidates, forms: Sequence[Draft]) -> None:
    levels, _ = built(forms, candidates.minimised)
    place.set_levels(found, levels)
    st.session_state["draft_of"] = _mark(found)


def _begin(found: Data, forms: Sequence[Draft]) -> None:
    st.session_state["draft"] = list(forms)
    st.session_state["draft_version"] = st.session_state.get("draft_version", 0) + 1
    st.session_state["draft_of"] = _mark(found)


def _now(candidates: Candidates) -> list[Draft]:
    """The draft with what the fields say."""
    names = candidates.frame.objectives
    return [
        replace(
            form,
            rules=tuple(
                rule._replace(
                    **{what: _said(f"{what}_{k}_{names.index(rule.objective)}") for what in ("threshold", "within")}
                )
                for rule in form.rules
            ),
            confidence=_said(f"sure_{k}") or None,
        )
        for k, form in enumerate(st.session_state["draft"])
    ]


def _said(field: str) -> float | None:
    value: float | None = st.session_state[_key(field)]
    return value


def _field(name: str, value: object) -> None:
    """What a field shows when it is first drawn."""
    st.session_state.setdefault(_key(name), value)


def _key(name: str) -> str:
    return f"{name}_v{st.session_state['draft_version']}"


def _mark(found: Data) -> tuple[str, str]:
    return str(found.run.path), place.rules(found)
