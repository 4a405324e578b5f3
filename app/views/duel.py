"""*Duel*: which of two answers is better? From that, which weights a person has; blind, side-swapped, by keyboard."""

from __future__ import annotations

import time
from html import escape

import streamlit as st

from app import data as pages
from app import person as who
from app import place
from app.duelling import NOW, Question, drop, question, undo, vote
from app.live.engine import engine
from app.markup.weights import weights_html
from app.notices import notice, told
from app.theme import look
from app.views.duel_advice import advice
from pareto.choice.user_study.duels import FILE, Answer
from pareto.choice.user_study.result import Result
from pareto.choice.user_study.study import Study
from pareto.errors import ParetoError
from pareto.store.run import Run

TITLE = "Duel"
WELCOME = (
    "You will see two answers to the same question, from two policies, without their names and on sides thrown by "
    "chance. Say which is better; after a few dozen it is known what you care about. Every answer is kept at once, "
    "under your name."
)
MEASURED, LIVE = "Measured", "Live"
POLL = 0.3
"""Seconds between looks at answers that are being spoken."""


def page(run: Run) -> None:
    """Ask who is there, then one question after the other."""
    data = pages.load(run)
    if data.frame is None or len(data.validation) < 3:
        notice("Two policies have to be measured before they can be compared; see Sweep.", key="duel_empty")
        return
    person = who.person()
    if person is None:
        who.who(WELCOME, Study.open(run).people, "duel")
        return
    kept = _kept(data)
    study = _study(str(run.path), pages.stamp(run), _allowed(data, kept))
    out = frozenset() if kept is None else frozenset(study.ids) - kept
    if out:
        notice(
            "Fewer than two policies keep the priorities in force, so these duels are over all policies. The weights "
            "count all the same; a policy that is out of reach cannot be taken.",
            key="duel_out_of_reach",
        )
    st.fragment(told(_duels))(run, study, person, out)


@st.cache_resource(show_spinner=False, max_entries=8)
def _study(path: str, when: tuple[float, ...], points: tuple[str, ...] | None) -> Study:
    return Study.open(Run.open(path), points)


def _kept(data: pages.Data) -> frozenset[str] | None:
    """The policies that keep the priorities in force; ``None``: there are no priorities, or none to judge."""
    rules = place.rules(data)
    return frozenset(pages.verdict(data, rules).kept) if rules and data.candidates is not None else None


def _allowed(data: pages.Data, kept: frozenset[str] | None) -> tuple[str, ...] | None:
    """Those of the front and the experts that keep the priorities; ``None``: all, where fewer than two do."""
    if kept is None:
        return None
    found = tuple(r["id"] for r in data.validation if r["id"] in kept and (r["on_front"] or r["kind"] == "expert"))
    return found if len(found) > 1 else None


# -- one question after the other ------------------------------------------------------------------------------------


def _duels(run: Run, study: Study, person: str, out: frozenset[str]) -> None:
    if st.session_state.get(who.NAME) != person:  # "Someone else" drew only this part again
        st.rerun()
    done = st.session_state.pop("duel_told", None)
    if done:
        st.toast(done, icon=":material/info:")
    live = st.session_state.get("duel_live") == LIVE
    try:
        asked = question(study, person, live)
    except ParetoError as e:
        notice(str(e), key="duel_nothing")
    else:
        busy = asked.job is not None and asked.job.busy
        if busy:
            st.fragment(run_every=POLL)(told(_ask))(asked, busy)
        else:
            _ask(asked, busy)
    # No toggle: it is a text field to the browser, and while one has the focus no letter is a shortcut.
    st.segmented_control("Answers", [MEASURED, LIVE], default=MEASURED, required=True, key="duel_live", help=_LIVE_HELP)
    _learned(run, study, person, out)


_LIVE_HELP = (
    "Measured answers are there at once, and scored, so that each of your votes tells more; live, both policies answer "
    "anew"
)


def _ask(asked: Question, was_busy: bool) -> None:
    """The question with both answers and the votes; looks again and again while they are spoken."""
    if st.session_state.get(NOW) is not asked or was_busy != (asked.job is not None and asked.job.busy):
        st.rerun()
    if asked.job is not None:
        asked.job.look()
    if asked.open and asked.since is None:
        asked.since = time.monotonic()
    colours = look()
    with st.container(border=True, key="duel_question"):
        st.html(
            f"<div style='color:{colours.muted};font-size:.87rem;margin-bottom:.2rem'>Asked</div>"
            f"<div class='answer' data-role='prompt' style='font-size:1.1rem'>{escape(asked.pairing.prompt.text)}</div>"
        )
    answers: tuple[Answer, Answer] = ("left", "right")
    for column, side, text, answer in zip(st.columns(2, gap="medium"), "AB", asked.texts, answers, strict=True):
        with column:
            with st.container(border=True, key=f"duel_{side.lower()}", height="stretch"):
                said = escape(text.strip()) or f"<span style='color:{colours.muted}'>{_silence(asked)}</span>"
                st.html(
                    f"<div style='color:{colours.muted};font-weight:650;margin-bottom:.5rem'>{side}</div>"
                    f"<div class='answer' data-role='answer' style='min-height:7.5rem'>{said}</div>"
                )
            st.button(
                f"{side} is better", key=f"vote_{side.lower()}", shortcut=side, type="primary", width="stretch",
                on_click=vote, args=(answer,), disabled=not asked.open,
            )  # fmt: skip
    with st.container(horizontal=True, horizontal_alignment="center", key="duel_votes"):
        others: tuple[tuple[str, str, str, Answer], ...] = (
            ("Tie", "tie", "T", "tie"),
            ("Both bad", "bad", "X", "both_bad"),
            ("Skip", "skip", "S", "skip"),
        )
        for label, key, shortcut, other in others:
            st.button(
                label, key=f"vote_{key}", shortcut=shortcut, on_click=vote, args=(other,), disabled=not asked.open
            )
        st.button(
            "Undo", key="vote_undo", shortcut="U", icon=":material/undo:",
            on_click=undo, args=(asked.study, asked.person),
        )  # fmt: skip
    if asked.job is not None and asked.job.state == "failed":
        notice(asked.job.error or "", strong="The model could not answer:", key="duel_failed")
        st.button("Try again", key="duel_retry", on_click=drop)


def _silence(asked: Question) -> str:
    """Why there is no text."""
    if asked.job is None or not asked.job.busy:
        return "(an empty answer)"
    live = engine(asked.study.run)
    if not live.ready:
        return "The model is loading…"
    ahead = live.ahead(asked.job)
    return f"{ahead} {'person' if ahead == 1 else 'people'} ahead of you" if ahead else "…"


# -- what follows ----------------------------------------------------------------------------------------------------


def _learned(run: Run, study: Study, person: str, out: frozenset[str]) -> None:
    whom = st.session_state.get("duel_whose", "Mine")
    result = _result(
        str(run.path), pages.stamp(run), _answers(run), tuple(study.ids), None if whom == "Everyone" else person
    )
    left, right = st.columns([0.58, 0.42], gap="medium")
    with left, st.container(border=True, key="duel_weights", height="stretch"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader("What matters, by these answers", anchor=False)
            if len(study.people) > 1:
                st.segmented_control(
                    "Whose answers", ["Mine", "Everyone"], default="Mine", required=True, key="duel_whose",
                    label_visibility="collapsed",
                )  # fmt: skip
        st.html(weights_html(result, look()))
        st.caption("Share of each objective, with a 90 % interval: the pale bar is what the answers still allow.")
    with right, st.container(border=True, key="duel_best", height="stretch"):
        advice(study, result, person, out)


def _answers(run: Run) -> tuple[float, int]:
    path = run.path / FILE
    found = path.stat() if path.is_file() else None
    return (found.st_mtime, found.st_size) if found else (0.0, 0)


@st.cache_resource(show_spinner=False, max_entries=64)
def _result(
    path: str, when: tuple[float, ...], answered: tuple[float, int], points: tuple[str, ...], person: str | None
) -> Result:
    return _study(path, when, points).result(person)
