"""The live model of a run: one per server, shared by all sessions, each answer with the mixes of the one who asked.

A fragment of a page never interrupts a running script, so nothing is generated in one: a single worker thread owns
the model, sessions hold jobs and look at them. A job's voices are decoded in one batch, each row with its own
coefficients and all with the same random numbers. On SmolLM2-135M (float32, one busy core, a prompt of 36 tokens)
three rows have their first token after 0.6–0.9 s, one row after 0.3 s. Merged one after the other the first voice
begins after 0.3–0.5 s, but the second waits until the first has ended.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import streamlit as st

from pareto.errors import ParetoError
from pareto.records import Prompt
from pareto.store.run import Run

if TYPE_CHECKING:
    from app.live.choosing import Choice
    from app.live.voices import Job, Voice, Voices

WAITING = 8
"""Jobs in the queue at most."""
SCORING = threading.Lock()
"""Held by whoever scores or encodes: all share the sentence encoder, whose tokenizer serves one thread at a time."""


class Engine:
    """The worker and its queue."""

    def __init__(self, run: Run) -> None:
        """Begin to load the model, in the background."""
        self.run = run
        self.ready = False
        """Whether the model is loaded."""
        self._queue: deque[Job] = deque()
        self._current: Job | None = None
        self._of: dict[str, Job] = {}
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name=f"engine of {run.name}", daemon=True).start()

    def ask(
        self,
        session: str,
        prompt: Prompt,
        voices: Sequence[Voice],
        seed: int,
        length: int,
        choice: Choice | None = None,
    ) -> Job:
        """Queue a session's question in the place of the one before.

        Args:
            session: who asks.
            prompt: the question.
            voices: who answers.
            seed: of the random numbers, the same for all voices.
            length: of an answer, in tokens, at most.
            choice: how the first voice's answer is chosen among several; ``None``: it has one.

        Raises:
            ParetoError: too many people wait.
        """
        from app.live.voices import Job

        job = Job(prompt, tuple(voices), seed, length, choice)
        with self._changed:
            if session in self._of:
                self._drop(self._of[session])
            if len(self._queue) >= WAITING:
                raise ParetoError(f"{WAITING} people are waiting for an answer already; ask again in a moment")
            self._of = {name: held for name, held in self._of.items() if held.busy} | {session: job}
            self._queue.append(job)
            self._changed.notify()
        return job

    def stop(self, job: Job) -> None:
        """End a job; what was said is kept."""
        with self._changed:
            self._drop(job)

    def ahead(self, job: Job) -> int:
        """How many people come before a waiting job, with the one who is being answered."""
        with self._changed:
            if job not in self._queue:
                return 0
            return list(self._queue).index(job) + (self._current is not None)

    def close(self) -> None:
        """End the worker, which then lets the model go."""
        with self._changed:
            self._closed = True
            for job in self._of.values():
                self._drop(job)
            self._changed.notify()

    def _drop(self, job: Job) -> None:
        job.stop.set()
        if job in self._queue:
            self._queue.remove(job)
            job.state = "stopped"

    def _work(self) -> None:
        with suppress(Exception):  # the next question tries again, and is told
            self._load()
            if not self._queue:
                _ = self._voices.rewards
        while (job := self._next()) is not None:
            self._answer(job)
            self._current = None

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            self._current = self._queue.popleft()
            return self._current

    def _answer(self, job: Job) -> None:
        try:
            self._load()
            if not job.unwanted:
                job.state = "running"
                self._voices.speak(job)
            if not job.unwanted:
                job.state = "measuring"
                with SCORING:
                    self._voices.measure(job)
            job.state = "stopped" if job.unwanted else "done"
        except ParetoError as e:
            job.error, job.state = str(e), "failed"
        except Exception as e:  # whatever it is, the worker goes on with the others
            job.error = f"{type(e).__name__}: {' '.join(str(e).split())}"[:300]
            job.state = "failed"

    def _load(self) -> None:
        _ = self._voices
        self.ready = True

    @cached_property
    def _voices(self) -> Voices:
        import torch

        from app.live.voices import Voices

        # One core stays free for the pages, which must not wait for the model.
        torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))
        return Voices(self.run)


def engine(run: Run) -> Engine:
    """The run's engine, started when it is first asked for."""
    return _engine(str(run.path))


@st.cache_resource(show_spinner=False, max_entries=2, on_release=Engine.close)
def _engine(path: str) -> Engine:
    return Engine(Run.open(path))
