"""One line that says how something stands, as text: what a file, a model or a recipe says never becomes markup."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st

from app.theme import look
from pareto.errors import ParetoError

Drawn = ParamSpec("Drawn")


def notice(text: str, *, strong: str = "", key: str | None = None) -> None:
    """A calm box with a bar at its left; line breaks are kept.

    Args:
        text: what is so, and what to do about it.
        strong: set before it in bold.
        key: of the container, for tests.
    """
    colours = look()
    head = f"<b>{html.escape(strong)}</b> " if strong else ""
    with st.container(key=key):
        st.html(
            f"<div role='status' style='border-left:3px solid {colours.muted};background:{colours.panel};"
            "border-radius:6px;padding:.7rem .9rem;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.5'>"
            f"{head}{html.escape(text)}</div>"
        )


def told(draw: Callable[Drawn, None]) -> Callable[Drawn, None]:
    """A part of a page that says what a user can put right in one line, beneath what it has drawn.

    For the body of a fragment, beneath ``st.fragment``: drawn again alone, it is out of the reach of ``main``.
    """

    @wraps(draw)
    def drawn(*args: Drawn.args, **kwargs: Drawn.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except ParetoError as e:
            notice(str(e), key="trouble")

    return drawn
