"""Placeholder until its author writes it."""

from pareto.store.run import Run

TITLE = "Priorities"


def page(run: Run) -> None:
    import streamlit as st

    st.write("…")
