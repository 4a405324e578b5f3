"""What the pages with a plane share: its axes, and a click that chooses a policy everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import place
from app.charts.scene import CONFIG

AXES = ("Across", "Up", "Deep")
CORNERS = ("Top", "Left", "Right")


def axes(names: Sequence[str], keys: Sequence[str], labels: Sequence[str] = AXES) -> list[int]:
    """Selects of different objectives, one per axis; an axis whose objective is taken goes on to a free one.

    Args:
        names: objectives in order, at least as many as keys.
        keys: of ``x``, ``y``, ``z``; they are also the parts of the address.
        labels: of the selects.

    Returns:
        Index of the objective on each axis.
    """
    taken: list[str] = []
    for i, (key, column) in enumerate(zip(keys, st.columns(len(keys), gap="small"), strict=True)):
        free = [name for name in names if name not in taken]
        if st.session_state.get(key, free[0]) not in free:
            del st.session_state[key]
        first = next((name for name in names[i:] if name in free), free[0])
        taken.append(column.selectbox(labels[i], free, index=free.index(first), key=key, bind="query-params"))
    return [list(names).index(name) for name in taken]


def draw(made: Any, key: str, alt: str) -> None:
    """A figure whose marks choose policies; its key is ``chart_`` + key.

    Args:
        made: a figure of ``app.charts`` with ids as ``customdata``.
        key: of the chart.
        alt: what a screen reader says of it.
    """
    st.plotly_chart(
        made,
        theme=None,
        key=f"chart_{key}",
        on_select=lambda: _picked(f"chart_{key}"),
        selection_mode=("points", "box"),
        config=CONFIG,
        alt=alt,
    )


def _picked(key: str) -> None:
    """A click chooses; a box chooses its first and leaves its policies in the table."""
    points = st.session_state[key]["selection"]["points"]
    ids = list(dict.fromkeys(_id(point) for point in points if point.get("customdata")))
    st.session_state["boxed"] = ids if len(ids) > 1 else None
    if ids:
        place.put("policy", ids[0])


def _id(point: Mapping[str, Any]) -> str:
    found = point["customdata"]
    return str(found[0] if isinstance(found, list) else found)
