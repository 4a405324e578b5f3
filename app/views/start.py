"""Placeholder until its author writes it."""

from pathlib import Path


def page(root: Path) -> None:
    import streamlit as st

    st.write("no runs")
