"""The lower half of the page Frontier: the chosen policy, the table of all, growth, and another run."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import data, place
from app.charts.scene import Scene
from app.charts.volume import volume
from app.data import Data
from app.markup import tiles
from app.measures import Comparison, Table, growth
from app.place import Policy
from app.theme import look
from pareto.errors import ParetoError
from pareto.front.statistics import Interval
from pareto.store.points import load_points
from pareto.store.run import Run

ALONE = "no other run"


def policy_card(
    found: Data, policy: Policy, scores: Table, split: str, excluded: Mapping[str, str], key: str = "chosen"
) -> None:
    """The chosen policy: values, what differs from the base, and where to go with it.

    Args:
        found: the run's data.
        policy: what is chosen.
        scores: of the split that is shown.
        split: "test" or "validation".
        excluded: id → why the priorities leave it out.
        key: of the container.
    """
    row = _on(found, policy, split)
    with st.container(border=True, key=key):
        with st.container(
            horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key=f"{key}_head"
        ):
            st.html(_heading(policy, row), width="content")
            with st.container(
                horizontal=True, width="content", gap="small", vertical_alignment="center", key=f"{key}_buttons"
            ):
                _buttons(policy, key)
        if row is None:
            _predicted(found, policy)
            return
        differences = scores.differences(policy.spec) if row["split"] == split else None
        digits = {n: tiles.decimals(row["se"].get(n) or 0.0) for n in found.names}
        base = row["kind"] == "base"
        notes = {n: tiles.against(d, digits[n], "the base") for n, d in (differences or {}).items() if not base}
        st.html(tiles.tiles(found.names, look(), row["mean"], row["se"], notes, tiles.extras(row)))
        if reason := excluded.get(policy.spec):
            st.html(f"<div class=mute><b>Out of reach by validation prompts.</b> {html.escape(reason)}</div>")
        st.caption(
            f"Means on {row['split']} prompts ± one standard error; differences paired on the same prompts, with "
            "95 % intervals."
        )


def table(scene: Scene, reasons: Mapping[str, str] | None) -> None:
    """Every policy that is shown, or those of the box; choosing a row is choosing a point.

    Args:
        scene: what is drawn.
        reasons: id → why the priorities leave it out; ``None`` without priorities.
    """
    boxed = st.session_state.get("boxed")
    rows = [row for row in scene.rows if not boxed or row["id"] in boxed]
    if boxed:
        with st.container(horizontal=True, vertical_alignment="center", key="boxed_row"):
            st.html(f"<b>{len(rows)} policies in the box</b>", width="content")
            st.button("Show all", key="show_all", type="tertiary", on_click=_unbox)
    ids = [str(row["id"]) for row in rows]
    st.session_state["table_ids"] = ids
    at = [ids.index(scene.chosen)] if scene.chosen in ids else []
    st.session_state["policies"] = {"selection": {"rows": at, "columns": [], "cells": []}}
    st.dataframe(
        _frame(rows, scene.names, reasons),
        key="policies",
        hide_index=True,
        on_select=_row_picked,
        selection_mode="single-row",
        height=min(38 + 35 * max(len(rows), 1), 388),
        column_config=_columns(scene.names),
        alt=f"{len(rows)} policies with their values; one row can be chosen",
    )


def growth_and_rival(found: Data, scene: Scene, rival: Comparison | str | None) -> None:
    """How the front grew, policy after policy, and whether another run's is better.

    Args:
        found: the run's data.
        scene: for colours.
        rival: the comparison, or why there is none; ``None``: nothing is chosen to compare with.
    """
    assert found.frame is not None
    left, right = st.columns([1.12, 1], gap="medium")
    with left, st.container(border=True, key="growth"):
        st.subheader("How the front grew", anchor=False)
        steps, base = growth(load_points(found.run), found.frame)
        test = found.document["hypervolume"] if found.document else None
        end = f"; at the end {test['value']:.3g} on test" if test else ""
        st.plotly_chart(
            volume(scene, steps, base, test), theme=None, key="chart_growth", config={"displayModeBar": False},
            alt=f"Hypervolume on validation after each of {len(steps)} policies{end}",
        )  # fmt: skip
        st.caption(
            "Hypervolume on validation prompts, which chose the policies, without the base: that is the dotted line. "
            "The diamond is the front on test, 95 %."
        )
    with right, st.container(border=True, key="rival"):
        st.subheader("Beside another run", anchor=False)
        others = [n for n in data.runs(found.run.path.parent) if n != found.run.path.name]
        if not others:
            st.caption("There is no other run yet.")
            return
        if st.session_state.get("with", ALONE) not in (ALONE, *others):
            del st.session_state["with"]
        st.selectbox("Compare with", (ALONE, *others), key="with", bind="query-params", label_visibility="collapsed")
        _compared(found.run, rival)


def _compared(run: Run, rival: Comparison | str | None) -> None:
    if rival is None:
        st.caption("Choose a run with the same objectives and prompts: its front joins the slice as hollow triangles.")
        return
    if isinstance(rival, str):
        st.text(rival[0].upper() + rival[1:] + ".")
        return
    other = str(st.session_state["with"])
    low, high = rival.difference.low, rival.difference.high
    sure = rival.probability if rival.probability >= 0.5 else 1 - rival.probability
    better = run.path.name if rival.probability >= 0.5 else other
    told = (
        f"No clear difference: its interval ({tiles.fixed(low, 2)} to {tiles.fixed(high, 2)}) holds 0."
        if low <= 0 <= high
        else f"{better} dominates more: by {_interval(rival.difference)}, with probability {_chance(sure)}."
    )
    st.html(
        tiles.sheet(
            ("", "Hypervolume on test", "95 % interval"),
            [
                (name, f"{v.value:.2f}", f"{v.low:.2f} to {v.high:.2f}")
                for name, v in ((run.path.name, rival.here), (other, rival.there))
            ],
        )
    )
    st.text(told)


def _interval(x: Interval) -> str:
    ends = sorted(abs(v) for v in (x.low, x.high))
    return f"{abs(x.value):.2f} ({ends[0]:.2f} to {ends[1]:.2f})"


def _chance(p: float) -> str:
    return "over 0.99" if p > 0.99 else f"{p:.2f}"


def _on(found: Data, policy: Policy, split: str) -> data.Row | None:
    """The policy's row on this split, else on the other."""
    first, second = (found.test, found.validation) if split == "test" else (found.validation, found.test)
    return next((row for row in (*first, *second) if row["id"] == policy.spec), None)


def _heading(policy: Policy, row: data.Row | None) -> str:
    tags = [] if row is None else [row["kind"], *(["on the front"] if row["on_front"] else [])]
    tags = tags or ["predicted, not measured"]
    made = "".join(f"<span class=tag>{html.escape(tag)}</span>" for tag in tags)
    return f"<div class=policy>{html.escape(policy.label)}{made}</div>"


def _buttons(policy: Policy, key: str) -> None:
    spec = policy.spec or place.mix_spec(policy.coefficients)
    link("explore", "Explore this", f"{key}_explore", ":material/tune:")
    pinned = place.get("pin") == spec
    st.button(
        "Unpin" if pinned else "Pin",
        key=f"{key}_pin",
        icon=":material/keep_off:" if pinned else ":material/keep:",
        on_click=place.put,
        args=("pin", None if pinned else spec),
    )
    link("export", "Export", f"{key}_export", ":material/download:")


def link(page: str, label: str, key: str, icon: str) -> None:
    """A link to another page that looks like a button. ``st.switch_page`` would take the run out of the address."""
    with st.container(key=key, width="content"):
        st.page_link(st.Page(lambda: None, title=page, url_path=page), label=label, icon=icon)


def _predicted(found: Data, policy: Policy) -> None:
    """A mix that nobody measured: what the map says of it."""
    if found.outlook is None or not policy.coefficients.keys() <= set(found.outlook.adapters):
        st.caption("Nothing is measured or predicted of this mix; hear it on the page Explore.")
        return
    try:
        said = found.outlook.predict(policy.coefficients)
    except ParetoError as e:
        st.text(str(e))
        return
    half = {n: (said["high"][n] - said["low"][n]) / 2 for n in found.names}
    more = [("KL to the base", f"{said['kl']:.3g}", "nats per token")]
    st.html(tiles.tiles(found.names, look(), said["mean"], half, {}, more))
    st.caption("Predicted for validation prompts, ± half a 90 % interval. Click a policy to see what was measured.")


def _frame(rows: list[Any], names: tuple[str, ...], reasons: Mapping[str, str] | None) -> Any:
    import pandas as pd

    columns: dict[str, list[Any]] = {
        "policy": [row["id"] for row in rows],
        "kind": [row["kind"] for row in rows],
    }
    for name in names:
        columns[name] = [row["mean"].get(name) for row in rows]
        columns[f"± {name}"] = [row["se"].get(name) for row in rows]
    columns["KL"] = [row["kl"] for row in rows]
    columns["P(front)"] = [row["p_nondominated"] for row in rows]
    columns["front"] = [row["on_front"] for row in rows]
    if reasons is not None:
        columns["priorities"] = [
            "" if row["kind"] == "base" else "out" if row["id"] in reasons else "kept" for row in rows
        ]
    for name in dict.fromkeys(n for row in rows for n in row["gold"]):
        columns[f"gold: {name}"] = [row["gold"].get(name) for row in rows]
    return pd.DataFrame(columns)


def _columns(names: tuple[str, ...]) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        **{n: number(format="%.3f") for n in names},
        **{f"± {n}": number("±", format="%.3f", width=62) for n in names},
        "policy": st.column_config.TextColumn(pinned=True),
        "KL": number("KL", format="%.2f", width=62, help="To the base model, nats per token."),
        "P(front)": number(
            "P(front)",
            format="%.2f",
            width=78,
            help="Share of redraws of the prompts in which nothing dominates it.",
        ),
        "front": st.column_config.CheckboxColumn("front", width=58),
        "priorities": st.column_config.TextColumn(
            "priorities", width=78, help="Choose a policy that is out to read why."
        ),
    }


def _row_picked() -> None:
    rows = st.session_state["policies"]["selection"]["rows"]
    place.put("policy", st.session_state["table_ids"][rows[0]] if rows else None)


def _unbox() -> None:
    st.session_state["boxed"] = None
