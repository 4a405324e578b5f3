"""The question that a session is asked in a user study: drawn once, kept until it is answered, perhaps spoken live."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.live.engine import engine
from pareto.choice.user_study.duels import Answer
from pareto.choice.user_study.study import Pairing, Study

if TYPE_CHECKING:
    from app.live.voices import Job

NOW, PAST = "duel_now", "duel_past"
"""Of the session: the question that stands, and those it has answered, by their duel's id."""


@dataclass
class Question:
    """What stands on the page."""

    study: Study
    person: str
    pairing: Pairing
    job: Job | None = None
    """Both answers as they come; ``None``: those that were measured."""
    since: float | None = None
    """When both could be read, by the monotonic clock."""
    again: bool = False
    """It was taken back, and is shown as it was read."""

    @property
    def texts(self) -> tuple[str, str]:
        """Left and right, as far as they are said."""
        if self.job is None:
            return self.pairing.left_completion, self.pairing.right_completion
        left, right = self.job.spoken
        return left.text, right.text

    @property
    def open(self) -> bool:
        """Whether there is something of both to judge."""
        return self.job is None or all(s.text or s.ended for s in self.job.spoken)

    def answered(self) -> Pairing:
        """The pairing with what was really read: live answers as far as they came, by their own scores if there are."""
        if self.job is None:
            return self.pairing
        left, right = self.job.spoken
        seed = self.job.seed
        made = self.study.live(self.pairing, left.text, right.text, seed, seed)
        names = self.study.frame.objectives
        if not all(name in spoken.scores for name in names for spoken in (left, right)):
            return made
        values = self.study.frame.normalise([[spoken.scores[n] for n in names] for spoken in (left, right)])
        return replace(made, difference=tuple(np.nan_to_num(values[0] - values[1]).tolist()))


def question(study: Study, person: str, live: bool) -> Question:
    """The question that stands for this session, or a new one.

    Args:
        study: the run's, with the points that are compared.
        person: who answers.
        live: both policies answer anew, on the run's engine.

    Raises:
        ParetoError: no question is left, or too many people wait for the engine.
    """
    stands: Question | None = st.session_state.get(NOW)
    if stands is not None and _same(stands, study, person, live):
        return stands
    drop()
    drawn = Question(study, person, study.next(person))
    if live:
        drawn.job = _speak(drawn)
    else:
        drawn.since = time.monotonic()
    st.session_state[NOW] = drawn
    return drawn


def vote(answer: Answer) -> None:
    """Keep the answer to the question that stands, and stop what still speaks; a callback."""
    stands: Question | None = st.session_state.get(NOW)
    if stands is None or not stands.open:  # two keys at once: the second has no question any more
        return
    drop()
    spent = time.monotonic() - (stands.since or time.monotonic())
    pairing = stands.answered()
    duel = pairing.duel(answer, stands.person, round(1000 * spent))
    stands.study.record(duel)
    st.session_state.setdefault(PAST, {})[duel.id] = pairing


def undo(study: Study, person: str) -> None:
    """Take the last answer back; a question of this session is asked again as it was read. A callback."""
    taken = study.undo(person)
    if taken is not None:
        drop()
        again = st.session_state.get(PAST, {}).pop(taken.id, None)
        if again is not None:
            st.session_state[NOW] = Question(study, person, again, since=time.monotonic(), again=True)
    st.session_state["duel_told"] = (
        "There is nothing to take back" if taken is None else "Your last answer is taken back"
    )


def drop() -> None:
    """Forget the question that stands, and stop what still speaks."""
    stands: Question | None = st.session_state.pop(NOW, None)
    if stands is not None and stands.job is not None:
        engine(stands.study.run).stop(stands.job)


def _same(stands: Question, study: Study, person: str, live: bool) -> bool:
    """Whether a question is still for this person, run and set of points; one that was taken back is shown as read."""
    of = (stands.study.run.path, stands.person, stands.study.ids)
    way = stands.again or live == (stands.job is not None)
    return of == (study.run.path, person, study.ids) and way


def _speak(asked: Question) -> Job:
    from app.live.voices import Voice

    run = asked.study.run
    of = {p.id: p.coefficients for p in asked.study.points}
    pairing = asked.pairing
    voices = [Voice("A", "A", of[pairing.left_point_id]), Voice("B", "B", of[pairing.right_point_id])]
    session = st.session_state.setdefault("duel_session", f"duel-{secrets.token_hex(8)}")
    length = run.recipe.sampling.max_new_tokens
    return engine(run).ask(session, pairing.prompt, voices, secrets.randbelow(1 << 31), length)
