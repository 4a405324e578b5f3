"""*Label*, beneath the question: how far it is, do people agree, and what to do where nothing waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from app import series
from app.labelling import OBJECTIVE, drop, make
from app.markup.tiles import css, sheet
from app.notices import notice
from app.theme import look
from pareto.rounds.source import Source
from pareto.rounds.store import Rounds


def nothing(source: Source, objective: str) -> None:
    """Nothing waits by this objective: what to do instead."""
    queue = source.queue
    others = {n: len(queue.waiting(objective=n)) for n in source.objectives if n != objective}
    waiting = {n: count for n, count in others.items() if count}
    asked = any(q.objective == objective for q in queue.questions)
    with st.container(border=True, key="label_nothing"):
        st.subheader("Nothing waits" if asked or source.run is None else "Nothing is asked yet", anchor=False)
        if waiting:
            listed = escape(", ".join(f"{count} for {n}" for n, count in waiting.items()))
            answered = f"Every question for {escape(objective)} is answered" if asked else "Not by this objective"
            st.html(f"<p class=line>{answered}; there wait {listed}.</p>")
            first = next(iter(waiting))
            st.button(f"Go on with {first}", key="label_go_on", type="primary", on_click=_turn, args=(first,))
        if source.run is None:
            if not waiting:
                st.html(
                    "<p class=line>Every question is answered. Give the same command again: it learns from these "
                    "labels, trains, measures, and asks anew.</p>"
                )
                st.code(series.command(Rounds.open(source.queue.folder.parent)), language=None, wrap_lines=True)
            return
        st.html(
            "<p class=line>Two policies' answers to the same prompt can be compared: those that this run has measured "
            "on validation.</p>"
        )
        st.button(
            "Ask 60 more" if asked else "Ask 60 questions", key="label_make", icon=":material/add:",
            type="secondary" if waiting else "primary", on_click=make, args=(source, objective),
        )  # fmt: skip


def progress(source: Source, person: str, objective: str) -> None:
    """How many are answered and by whom, and whether people agree."""
    queue, colours = source.queue, look()
    asked = sum(q.objective == objective for q in queue.questions)
    waiting = len(queue.waiting(objective=objective))
    own = sum(x.annotator == person and x.who == "person" and x.objective == objective for x in queue.labels)
    done = asked - waiting
    counted = f"{done} of {asked}, {waiting} wait" if waiting else f"All {asked} answered" if asked else "None asked"
    left, right = st.columns([0.58, 0.42], gap="medium")
    with left, st.container(border=True, key="label_progress", height="stretch"):
        st.html(
            f"{css(colours)}<style>.line{{line-height:1.6;margin:0;overflow-wrap:anywhere}}</style>"
            f"<div class=mute style='font-size:.87rem'>{escape(person)} · {escape(objective)} · {own} by you</div>"
            f"<div data-role='progress' style='font-size:1.25rem;font-weight:620;margin:.3rem 0 .5rem'>{counted}</div>"
            f"<div role=progressbar aria-label='questions answered' aria-valuemin=0 aria-valuemax={asked} "
            f"aria-valuenow={done} style='height:8px;border-radius:4px;background:{colours.track}'>"
            f"<div style='height:8px;border-radius:4px;background:{colours.accent};"
            f"width:{100 * done / max(asked, 1):.1f}%'></div></div>"
        )
    spent = queue.spent()
    with right, st.container(border=True, key="label_agreement", height="stretch"):
        clash = len(queue.contradictions(objective))
        both = f"{clash} question{'s are' if clash > 1 else ' is'} answered both ways; both count. " if clash else ""
        text = queue.agreement(objective).text
        st.html(
            "<div style='font-weight:620;margin-bottom:.3rem'>Between people</div>"
            f"<p class=line>{escape(text[0].upper() + text[1:])}. {both}</p>"
        )
        if spent["cost"]:
            st.html(f"<p class='line mute'>Calls of judges cost {spent['cost']:.2f} so far.</p>")
    if queue.torn:
        notice(f"{queue.torn} lines of the queue's files cannot be read and are left out.", key="label_torn")
    rows = _by_whom(spent["rows"])
    if rows:
        with st.expander(f"{spent['labels']} labels, by whom", key="label_by_whom"):
            st.html(sheet(("Who", "Objective", "Labels", "Ties", "Skipped"), rows))


def _by_whom(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Over all rounds, one row per annotator and objective."""
    total: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        found = total.setdefault((str(row["annotator"]), str(row["objective"])), [0, 0, 0])
        for k, name in enumerate(("labels", "ties", "skipped")):
            found[k] += int(row[name])
    return [[*who, *map(str, counts)] for who, counts in sorted(total.items())]


def _turn(objective: str) -> None:
    drop()
    st.session_state[OBJECTIVE] = objective
