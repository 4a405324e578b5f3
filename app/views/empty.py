"""A page that has nothing to show yet: what it would show, and the command that changes that."""

from __future__ import annotations

import streamlit as st


def empty(title: str, why: str, command: str, more: str, *, key: str) -> None:
    """One box.

    Args:
        title: what is not there.
        why: what it is good for, as HTML; ends where the command follows.
        command: for a terminal.
        more: which options matter, as HTML.
        key: of the container.
    """
    with st.container(border=True, key=key, width=720):
        st.subheader(title, anchor=False)
        _paragraph(why)
        st.code(command, language=None, wrap_lines=True)
        _paragraph(more)


def _paragraph(text: str) -> None:
    st.html(f"<p style='line-height:1.6;margin:0'>{text}</p>")
