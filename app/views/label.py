"""*Label*: which of two answers is better by one objective? What reward models learn from; blind, by keyboard."""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path

import streamlit as st

from app import series
from app.labelling import OBJECTIVE, TOLD, TROUBLE, Standing, answer, drop, make, question, shared_queue, undo
from app.notices import notice, told
from app.person import NAME, leave, person, who
from app.theme import look
from app.views.label_parts import nothing, progress
from pareto.preferences.annotation.shown import Pressed
from pareto.rounds.source import Source
from pareto.rounds.store import Rounds, list_rounds, owner
from pareto.store.run import Run

TITLE = "Label"
WHAT = (
    "You will see two answers to the same question, on sides thrown by chance. Say which is better by the one "
    "objective that is named above them; reward models learn from it. Every answer is kept at once, under your name."
)


def page(run: Run | None) -> None:
    """Ask who is there, then one question after the other.

    Args:
        run: in the header; ``None`` where there is no run yet, but rounds that wait for labels.
    """
    root = Path(st.session_state["root"]) if run is None else run.path.parent
    source = _source(root, run)
    answers = person()
    if answers is None:
        people = dict.fromkeys(x.annotator for x in source.queue.labels if x.who == "person")
        who(WHAT, list(people), "label")
        return
    st.fragment(told(_labels))(source, answers)


def _source(root: Path, run: Run | None) -> Source:
    """Whose questions: of the series that the run in the header is a round of, else of the run itself."""
    names = list_rounds(root)
    own = owner(root, run.path.name) if run else None
    asked = series.chosen(root, run) if run is None or own or st.session_state.get("at_series") else None
    alone = None if run is None or own else run.path.name
    choices = [*([alone] if alone else []), *names]
    at = asked if asked in names else choices[0]
    if len(choices) > 1:
        st.session_state["label_source"] = at
        st.selectbox(
            "Questions of", choices, key="label_source", width=320, on_change=partial(_other_source, root, names),
            format_func=lambda name: f"the rounds of {name}" if name in names else f"the run {name}",
        )  # fmt: skip
    if at in names:
        st.query_params["series"] = at
        return Source.of_rounds(Rounds.open(at, root), shared_queue)
    assert run is not None
    return Source.of_run(run, shared_queue)


def _other_source(root: Path, names: list[str]) -> None:
    drop()
    picked = st.session_state["label_source"]
    if picked in names:
        series.choose(root, picked)
    else:
        st.session_state["at_series"] = None
        st.query_params.pop("series", None)


# -- one question after the other ------------------------------------------------------------------------------------


def _labels(source: Source, answers: str) -> None:
    if st.session_state.get(NAME) != answers:  # "Someone else" drew only this part again
        st.rerun()
    if said := st.session_state.pop(TOLD, None):
        st.toast(said, icon=":material/info:")
    objective = _objective(source)
    stands = question(source, answers, objective)
    if stands is None:
        nothing(source, objective)
    else:
        _ask(stands)
    with st.container(horizontal=True, horizontal_alignment="center", key="label_votes"):
        others: tuple[tuple[str, str, str, Pressed], ...] = (("Tie", "tie", "T", "tie"), ("Skip", "skip", "S", "skip"))
        for label, key, shortcut, pressed in others:
            st.button(
                label, key=f"label_{key}", shortcut=shortcut, on_click=answer, args=(pressed,), disabled=stands is None
            )
        st.button("Undo", key="label_undo", shortcut="U", icon=":material/undo:", on_click=undo, args=(source, answers))
    if trouble := st.session_state.pop(TROUBLE, None):
        notice(trouble, strong="Not kept:", key="label_trouble_box")
    progress(source, answers, objective)
    with st.container(horizontal=True, key="label_actions"):
        if source.run is not None and stands is not None:
            st.button(
                "Ask more", key="label_more", icon=":material/add:", on_click=make, args=(source, objective),
                help="More pairs of answers that were measured in this run.",
            )  # fmt: skip
        st.button("Someone else", key="label_leave", icon=":material/group:", on_click=_leave)


def _objective(source: Source) -> str:
    """By which objective: the first in which something waits, until another is chosen."""
    names = source.objectives
    if st.session_state.get(OBJECTIVE) not in names:
        waits = {q.objective for q in source.queue.waiting()}
        st.session_state[OBJECTIVE] = next((n for n in names if n in waits), names[0])
    st.segmented_control("Objective", names, required=True, key=OBJECTIVE, label_visibility="collapsed")
    return str(st.session_state[OBJECTIVE])


def _ask(stands: Standing) -> None:
    """The question with both answers and the buttons beneath them."""
    colours, asked = look(), stands.shown.question
    with st.container(border=True, key="label_question"):
        st.html(
            f"<div data-role='criterion' style='font-size:1.25rem;font-weight:620;margin-bottom:.7rem;"
            f"overflow-wrap:anywhere'>{escape(stands.source.criterion(asked.objective))}</div>"
            f"<div style='color:{colours.muted};font-size:.87rem;margin-bottom:.2rem'>Asked</div>"
            f"<div class='answer' data-role='prompt' style='font-size:1.05rem'>{escape(asked.prompt)}</div>"
        )
    sides: tuple[tuple[str, str, Pressed], ...] = (
        ("A", stands.shown.left, "left"),
        ("B", stands.shown.right, "right"),
    )
    for column, (side, text, pressed) in zip(st.columns(2, gap="medium"), sides, strict=True):
        with column:
            with st.container(border=True, key=f"label_text_{side.lower()}", height="stretch"):
                said = escape(text.strip()) or f"<span style='color:{colours.muted}'>(an empty answer)</span>"
                st.html(
                    f"<div style='color:{colours.muted};font-weight:650;margin-bottom:.5rem'>{side}</div>"
                    f"<div class='answer' data-role='answer' style='min-height:7.5rem'>{said}</div>"
                )
            st.button(
                f"{side} is better", key=f"label_{side.lower()}", shortcut=side, type="primary", width="stretch",
                on_click=answer, args=(pressed,),
            )  # fmt: skip


def _leave() -> None:
    leave()
    drop()
