"""*Rounds*, the middle: fronts, gap, over-optimisation and labels as pictures, and everything as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.charts.rounds import gaps, themed, volumes
from app.markup import rounds as words
from app.markup.tiles import sheet
from app.round_records import Round
from app.sweeping.arrivals import ago
from app.theme import look
from pareto.rounds import figures

PLOT = {"displayModeBar": False}


def charts(records: Sequence[Mapping[str, Any]], made: Sequence[Round], names: Sequence[str]) -> None:
    """Four pictures, two in a row.

    Args:
        records: of the rounds as they are stored, one or more.
        made: the same, checked.
        names: objectives in order of priority.
    """
    gold = [n for n in names if any(p.gold.get(n) is not None for r in made for p in r.front)]
    left, right = st.columns([1.12, 1], gap="medium")
    with left, st.container(border=True, key="rounds_fronts", height="stretch"):
        st.subheader("Fronts by round", anchor=False)
        if len(gold) > 1:
            _fronts(records, made, gold)
        else:
            st.caption("Fewer than two objectives have a gold reward, so there is no front to be shown under gold.")
    with right, st.container(border=True, key="rounds_progress", height="stretch"):
        st.subheader("Is it worth another round?", anchor=False)
        if gold:
            _draw(volumes(made, look(), 215), "volume", f"Hypervolume. {words.headline(made)}")
            _draw(gaps(made, names, look(), 265), "gap", f"Gap between proxy and gold. {words.headline(made)}")
            st.caption(
                "Above: how much the front dominates under gold. Beneath: what the reward models promise beyond gold, "
                "in base standard deviations. 95 % intervals."
            )
        else:
            st.caption("No objective has a gold reward: only what the reward models themselves say is known.")
    left, right = st.columns([1.12, 1], gap="medium")
    with left, st.container(border=True, key="rounds_kl", height="stretch"):
        st.subheader("Proxy and gold against KL", anchor=False)
        name = str(st.selectbox("Objective", names, key="rounds_kl_of", label_visibility="collapsed", width=190))
        _draw(themed(figures.against_kl, records, look(), [name]), "kl", f"Proxy and gold gain in {name} against KL")
        st.caption("Hollow: what the reward models say. Full: gold. Where they part, the policies win by exploiting.")
    with right, st.container(border=True, key="rounds_labels", height="stretch"):
        st.subheader("What the labels bought", anchor=False)
        picture = themed(figures.labels_against_accuracy, records, look())
        told = f"Accuracy of the reward models; after {made[-1].labels_total} labels {_accuracy(made[-1])}"
        _draw(picture, "labels", told)
        st.caption("Full: of the new policies' answers, as gold orders them. Dotted: on labels that were held out.")


def _fronts(records: Sequence[Mapping[str, Any]], made: Sequence[Round], gold: Sequence[str]) -> None:
    with st.container(horizontal=True, key="rounds_axes"):
        x = str(st.selectbox("To the right", gold, key="rounds_x", width=170))
        others = [n for n in gold if n != x]
        y = str(st.selectbox("Upwards", others, key="rounds_y", width=170))
    shown = (
        f"{sum(p.on_front for p in made[-1].front)} policies on the front of round {made[-1].round}, {x} against {y}"
    )
    _draw(themed(figures.fronts, records, look(), [x, y]), "fronts", shown)
    st.caption(
        "Gains over the base under gold, in base standard deviations, 95 % bars. A line joins what nothing dominates "
        "in these two. ✕ base, ★ expert, ● trained, ◆ soup."
    )


def _draw(made: Any, name: str, alt: str) -> None:
    st.plotly_chart(made, theme=None, key=f"rounds_chart_{name}", config=PLOT, alt=alt)


def sheet_of_rounds(made: Sequence[Round], names: Sequence[str]) -> None:
    """One row per round: what went in, what came out."""
    costs = any(r.cost for r in made)
    head = ["Round", "Labels", "In all", "Accuracy", "Hypervolume", "Gain", "Gap", "Time", *(["Cost"] if costs else [])]
    rows = [
        [
            str(r.round), str(r.labels), str(r.labels_total), _accuracy(r), words.interval(r.hypervolume),
            words.interval(r.gain), words.interval(r.gap.mean), ago(sum(s or 0.0 for s in r.seconds.values())),
            *([f"{r.cost or 0:.2f}"] if costs else []),
        ]
        for r in made
    ]  # fmt: skip
    with st.container(border=True, key="rounds_table"):
        st.html(f"<div class=wide>{sheet(head, rows)}</div>")
        last = made[-1]
        st.caption(
            f"Labels by {_by(last.annotator)}; accuracy of the reward models, mean over {len(names)} objectives, by "
            "gold where there is some; gain over the round before. 95 % intervals."
        )


def _by(annotator: str) -> str:
    return {"person": "people", "judge": "an AI judge", "gold": "gold rewards"}.get(annotator, annotator or "nobody")


def _accuracy(r: Round) -> str:
    return "–" if r.accuracy is None else f"{r.accuracy:.0%}"
