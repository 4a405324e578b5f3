"""Who answers: asked once, kept for the session and in the address, so that a reload goes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from html import escape

import streamlit as st

from app.notices import notice
from pareto.choice.user_study.duels import check_person
from pareto.errors import ParetoError

NAME = "duel_name"
"""Of the session; one name for *Duel* and *Label*."""


def person() -> str | None:
    """Whoever began in this session, else whom the address names."""
    named = st.query_params.get("person")
    if named and NAME not in st.session_state:
        with suppress(ParetoError):
            st.session_state[NAME] = check_person(named)
    found: str | None = st.session_state.get(NAME)
    if found:
        st.query_params["person"] = found
    elif named:
        del st.query_params["person"]
    return found


def leave() -> None:
    """Somebody else comes; a callback."""
    st.session_state[NAME] = None
    st.query_params.pop("person", None)


def who(text: str, known: Sequence[str], key: str) -> None:
    """Ask for a name, in a box.

    Args:
        text: what the person will do.
        known: who has answered before.
        key: beginning of the widgets' keys.
    """
    with st.container(border=True, key=f"{key}_who", width=560):
        st.subheader("Who is answering?", anchor=False)
        st.html(f"<p style='line-height:1.6;margin:0'>{escape(text)}</p>")
        with st.form(f"{key}_form", border=False):
            name = st.text_input("Your name", max_chars=40, placeholder="me", key=f"{key}_person")
            begin = st.form_submit_button("Begin", type="primary", key=f"{key}_begin")
        if known:
            listed = escape(", ".join(known))
            st.html(f"<div class='mute'>Answered so far: {listed}. Give your name again to go on.</div>")
    if begin:
        try:
            st.session_state[NAME] = check_person(name or "me")
        except ParetoError as e:
            notice(str(e), key=f"{key}_wrong_name")
            return
        st.rerun()
