"""The page Explore in AppTest: its script, what it shows, and waiting for an answer."""

from __future__ import annotations

import time

from streamlit.testing.v1 import AppTest


def script(path: str) -> None:
    """The page alone, as ``main`` draws it."""
    import streamlit as st

    from app.views import explore
    from pareto.store.run import Run

    run = Run.open(path)
    st.session_state["names"] = run.recipe.names
    explore.page(run)


def shown(app: AppTest) -> str:
    """All of its HTML."""
    return "".join(e.proto.body for e in app.get("html"))


def answered(app: AppTest) -> AppTest:
    """The page after the question that stands is answered."""
    until = time.monotonic() + 60
    while app.session_state["explore_job"][1].busy:
        assert time.monotonic() < until
        time.sleep(0.05)
        app.run()
    return app.run()
