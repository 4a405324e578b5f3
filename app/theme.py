"""The colours of the theme that the person's browser shows."""

from __future__ import annotations

import streamlit as st

from app.looks import DARK, LIGHT, Look


def look() -> Look:
    """Light or dark, as chosen in the app's menu or by the system."""
    return DARK if st.context.theme.type == "dark" else LIGHT
