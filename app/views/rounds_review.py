"""*Rounds*, the end: completions on which the reward models disagree, to be settled or labelled."""

from __future__ import annotations

from html import escape

import streamlit as st

from app.markup import rounds as words
from app.notices import notice
from app.person import NAME
from app.theme import look
from pareto.errors import ParetoError
from pareto.preferences.annotation import review as reviews
from pareto.preferences.annotation.review import Flagged, Verdict
from pareto.rounds.store import Rounds

FEW = 4
"""So many are shown; then so many more."""
TOLD, SHOWN = "review_told", "review_shown"
"""Of the session: what a callback has to say, and how many are shown."""


def review(opened: Rounds, number: int) -> None:
    """The queue, the most uncertain first.

    Args:
        opened: whose.
        number: the round whose labels a completion joins that is put to the annotators.
    """
    queue = opened.review
    if number == 1 and not queue.items:  # nothing was scored yet
        return
    waiting = queue.waiting
    with st.container(border=True, key="review"):
        st.subheader("Review", anchor=False)
        if said := st.session_state.pop(TOLD, None):
            notice(said, key="review_said")
        if queue.torn:
            notice(f"{queue.torn} lines of the review queue cannot be read and are left out.", key="review_torn")
        settled = len(queue.settled)
        done = f"; {settled} settled" if settled else ""
        if not waiting:
            st.html(f"<div class=mute>No completion waits{done}: the members agree on what was scored.</div>")
            return
        st.html(
            f"<div class=mute style='line-height:1.5'>{len(waiting)} completion{'s' * (len(waiting) > 1)} on which the "
            f"reward models disagree{done}. Until somebody decides, the lowest score counts.</div>"
        )
        few = waiting[: st.session_state.get(SHOWN, FEW)]
        ends = words.ends([item.scores for item in few])
        for item in few:
            _item(opened, item, number, ends)
        if len(waiting) > len(few):
            st.button("Show more", key="review_more", type="tertiary", on_click=_more)


def _item(opened: Rounds, item: Flagged, number: int, ends: tuple[float, float]) -> None:
    with st.container(border=True, key=f"review_{item.id}"):
        left, right = st.columns([1.3, 1], gap="medium")
        with left:
            st.html(
                f"<div class='said' data-role='prompt'>{escape(item.prompt)}</div>"
                f"<div class='answer' data-role='completion' style='margin-top:.5rem'>{escape(item.completion)}</div>"
            )
        with right:
            st.html(
                f"<div class=small><b>{escape(item.objective)}</b> <span class=mute>as the members score it, "
                f"low to high</span></div>{words.line_of_members(item.scores, item.threshold, look(), ends)}"
            )
            with st.container(horizontal=True, key=f"review_does_{item.id}"):
                st.button(
                    "Label it", key=f"review_label_{item.id}", on_click=_label, args=(opened, item, number),
                    disabled=not item.other, icon=":material/how_to_vote:",
                    help="Ask people which is better, this or another answer to the same prompt."
                    if item.other else "There is no other answer to this prompt to compare it with.",
                )  # fmt: skip
                for verdict, title, help_ in _SETTLE:
                    st.button(
                        title, key=f"review_{verdict}_{item.id}", help=help_, on_click=_settle,
                        args=(opened, item, verdict),
                    )  # fmt: skip


_SETTLE: tuple[tuple[Verdict, str, str], ...] = (
    ("fine", "Settle: fine", "The answer is good by this objective; the doubt is settled."),
    ("bad", "Settle: bad", "The answer is bad by this objective; the doubt is settled."),
)


def _label(opened: Rounds, item: Flagged, number: int) -> None:
    """Put it to the annotators; a callback."""
    try:
        opened.queue.ask(reviews.questions([item], number))
        opened.review.settle(item.id, _me(), "label")
    except ParetoError as e:
        st.session_state[TOLD] = str(e)
        return
    st.session_state[TOLD] = f"A question for {item.objective} waits on the page Label."


def _settle(opened: Rounds, item: Flagged, verdict: Verdict) -> None:
    """Keep the verdict; a callback."""
    try:
        opened.review.settle(item.id, _me(), verdict)
    except ParetoError as e:
        st.session_state[TOLD] = str(e)


def _more() -> None:
    st.session_state[SHOWN] = st.session_state.get(SHOWN, FEW) + FEW


def _me() -> str:
    """Whoever has given a name on *Label* or *Duel*."""
    return st.session_state.get(NAME) or "me"
