"""Explore, what the policy says: the chosen one, the base model and the pinned one answer side by side."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from app.data import Data
from app.live.engine import Engine, engine
from app.looks import Look
from app.markup import marks
from app.place import Policy, mix_spec
from app.theme import look
from app.views import explore_auto, explore_candidates
from pareto.errors import ParetoError
from pareto.records import Prompt
from pareto.store.run import Run
from pareto.store.tables import read_prompts

if TYPE_CHECKING:
    from app.live.voices import Job, Spoken

POLL, LOADING = 0.15, 0.6
"""Seconds between looks: at an answer that is being written, and at a model that is being loaded."""
JOB, NOTE, WANTED = "explore_job", "explore_note", "explore_wanted"
"""Session: the job with its run, why none could be asked, and the prompt to be asked next."""


def card(found: Data, policy: Policy, pinned: Policy | None) -> None:
    """The answers' card, which polls while there is something to wait for."""
    every = _pace(found, policy, pinned)
    st.fragment(run_every=every, key="explore_answers")(_body)(found, policy, pinned, every)


def again(found: Data) -> None:
    """The policy has changed: ask the standing prompt anew, where the person wants that."""
    job = _job(found)
    if job is not None and st.session_state.get("again", True):
        st.session_state[WANTED] = job.prompt


def _pace(found: Data, policy: Policy, pinned: Policy | None) -> float | None:
    """Ask what is wanted, of the policies that stand now. Seconds between looks; ``None``: nothing to wait for."""
    live = engine(found.run)
    if WANTED in st.session_state:
        _ask(live, found, policy, pinned, st.session_state[WANTED])
        del st.session_state[WANTED]  # last: a run of the script that is cut short leaves it to the next
    job = _job(found)
    if not live.ready:
        return LOADING
    return POLL if job is not None and job.busy else None


def _body(found: Data, policy: Policy, pinned: Policy | None, every: float | None) -> None:
    if explore_auto.wanted():
        st.rerun()  # the whole page: who answers is not known yet
    if _pace(found, policy, pinned) != every:
        st.rerun()  # begins to poll, ends it, or does it at another pace
    colours, live, job = look(), engine(found.run), _job(found)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="explore_answers_head"
    ):
        st.subheader("Hear this policy", anchor=False)
        if job is not None and job.busy:
            st.button(
                "Stop", key="stop", icon=":material/stop:", type="tertiary", shortcut="Esc",
                on_click=live.stop, args=(job,),
            )  # fmt: skip
    if job is not None:
        job.look()
        _answers(live, job, policy, colours)
    elif not live.ready:
        st.html(marks.line("Loading the model; ask meanwhile, it answers as soon as it can."))
        st.skeleton(height=76)
    else:
        st.html(marks.line("Ask something: the chosen policy and the base model answer side by side, from one seed."))
    if note := st.session_state.get(NOTE):
        st.html(marks.line(note, "trouble"))
    _asking(found)


def _answers(live: Engine, job: Job, policy: Policy, colours: Look) -> None:
    shown = [
        marks.Answer(v.title, v.label, s.text, job.state == "running" and not s.ended, _note(job, s), s.steps)
        for v, s in zip(job.voices, job.spoken, strict=True)
    ]
    if chosen := explore_candidates.note(job):
        shown[0] = replace(shown[0], note=f"{chosen} {shown[0].note}".strip())
    st.html(marks.said(job.prompt.text) + marks.answers(shown))
    state = _standing(live, job, policy)
    if state:
        st.html(marks.line(state, "trouble" if job.state == "failed" else "mute"))
    if job.state == "failed":
        st.button("Retry", key="retry", icon=":material/refresh:", on_click=_want, args=(job.prompt,))
    if all(s.scores for s in job.spoken):
        recipe = live.run.recipe
        gold = [name for name in recipe.gold if name != "kl"]
        st.html(
            marks.score_table(
                [v.title for v in job.voices], [s.scores for s in job.spoken], recipe.names, gold, colours
            )
        )
    explore_candidates.table(job, live.run.recipe.names, colours)


def _note(job: Job, spoken: Spoken) -> str:
    if job.state == "stopped" and not spoken.ended:
        return "Stopped here."
    return "Cut off at its longest." if spoken.ended and len(spoken.tokens) == job.length else ""


def _standing(live: Engine, job: Job, policy: Policy) -> str:
    if job.state == "waiting":
        ahead = live.ahead(job)
        if not live.ready:
            return "Loading the model…"
        return f"{'One person' if ahead == 1 else f'{ahead} people'} ahead of you…" if ahead else "About to answer…"
    if job.state == "measuring":
        return "Measuring these answers…"
    if job.state == "stopped":
        return "Stopped; what was said is kept."
    if job.state == "failed":
        return f"It failed: {job.error}"
    if job.state == "done" and dict(job.voices[0].coefficients) != policy.coefficients:
        return f"Spoken by {job.voices[0].label}. Ask again to hear the policy that is chosen now."
    return ""


def _asking(found: Data) -> None:
    """The field, examples and settings. The field is never disabled: a disabled one in focus swallows Esc."""
    st.chat_input("Ask anything, then move a slider", key="ask", on_submit=_asked, args=(found,))
    with st.container(horizontal=True, vertical_alignment="center", key="explore_asking"):
        st.selectbox(
            "A prompt of the run", _examples(found.run), index=None, key="example",
            placeholder="Or one of the run's prompts", label_visibility="collapsed", on_change=_picked,
            args=(found,),
        )  # fmt: skip
        with st.popover("Settings", icon=":material/tune:", key="explore_settings"):
            st.number_input("Seed", 0, 2**31 - 1, 0, key="seed", help="The same numbers for every voice")
            st.slider("Longest answer, tokens", 8, 128, max(8, min(128, _length(found))), 8, key="length")
            explore_candidates.setting()
            st.toggle("Answer again when I move", True, key="again")


def _length(found: Data) -> int:
    return -(-found.run.recipe.sampling.max_new_tokens // 8) * 8


def _asked(found: Data) -> None:
    if text := (st.session_state["ask"] or "").strip():
        _ask_anew(_prompts(str(found.run.path)).get(text) or Prompt("asked", text, "asked"))


def _picked(found: Data) -> None:
    if text := st.session_state["example"]:
        _ask_anew(_prompts(str(found.run.path))[text])


def _ask_anew(prompt: Prompt) -> None:
    explore_auto.want(prompt.text)
    _want(prompt)


def _want(prompt: Prompt) -> None:
    st.session_state[WANTED] = prompt


def _ask(live: Engine, found: Data, policy: Policy, pinned: Policy | None, prompt: Prompt) -> None:
    from app.live.voices import Voice

    voices = [Voice("Chosen", policy.label, policy.coefficients), Voice("Base model", "nothing mixed in", {})]
    # As links write them: a pinned mix has gone through one.
    if pinned is not None and mix_spec(pinned.coefficients) != mix_spec(policy.coefficients):
        voices.append(Voice("Pinned", pinned.label, pinned.coefficients))
    session = st.session_state.setdefault("explore_session", uuid.uuid4().hex)
    seed, length = int(st.session_state.get("seed", 0)), int(st.session_state.get("length", _length(found)))
    st.session_state[NOTE] = None
    try:
        job = live.ask(session, prompt, voices, seed, length, explore_candidates.choice(found, policy))
    except ParetoError as e:
        st.session_state[NOTE] = str(e)
        return
    st.session_state[JOB] = (str(found.run.path), job)


def _job(found: Data) -> Job | None:
    """This session's question to this run."""
    path, job = st.session_state.get(JOB, (None, None))
    return job if path == str(found.run.path) else None


def _examples(run: Run) -> list[str]:
    """The run's validation prompts."""
    return [text for text, prompt in _prompts(str(run.path)).items() if prompt.split == "validation"]


@st.cache_data(show_spinner=False)
def _prompts(path: str) -> dict[str, Prompt]:
    """The run's prompts by their text, with the answers that objectives know."""
    file = Run.open(path).path / "prompts.parquet"
    return {p.text: p for p in read_prompts(file)} if file.is_file() else {}
