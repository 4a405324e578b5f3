"""Features of the prompts that are served, made off the request path: what the alarms on prompts look at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pareto.errors import ParetoError
from pareto.traffic.backlog import DRAIN, Backlog, Counted
from pareto.traffic.tables import as_text
from pareto.traffic.usual import Embed, Features, usual_prompts

if TYPE_CHECKING:
    from pareto.store.run import Run
    from pareto.traffic.log import TrafficLog

WAITING = 1024
"""Prompts that wait for their features; more are dropped."""
BATCH = 16
"""Prompts that are encoded at once, at most."""
PADDED = 2048
"""Characters that these have at most, each counted as long as the longest, to which all are padded: beside a long one
fifteen short ones would take ten times as long, and who else wants the encoder waits so long."""
LONGEST = 8192
"""Characters of a prompt that wait with it; the encoder reads 256 tokens."""


class Watching:
    """Encodes prompts in a thread of its own and puts their features into the log; close it to end the thread.

    First it makes the features of the run's own prompts, where they are missing: who looks at the alarms need not wait
    for them. Where there is no encoder, nothing is watched.
    """

    def __init__(
        self,
        run: Run,
        log: TrafficLog,
        share: float,
        embed: Embed,
        *,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Start the thread.

        Args:
            run: with whose prompts those that are served will be compared.
            log: where features go.
            share: of the prompts that are encoded, 0 to 1; 0: not even the run's.
            embed: prompts to features.
            note: told, in a line, why nothing is watched.

        Raises:
            ParetoError: a share that is none.
        """
        self._run, self._log, self._embed, self._note = run, log, embed, note
        self._blind = not share
        self._ending = threading.Event()
        self._backlog = Backlog(self._encode, share, name="watch", most=WAITING, batch=BATCH, first=self._prepare)

    @property
    def counted(self) -> Counted:
        """So far."""
        return self._backlog.counted

    def offer(self, id: str, prompt: str) -> bool:
        """Have the features of a logged request's prompt made, as ``Backlog.offer``."""
        return not self._blind and self._backlog.offer(id, (id, as_text(prompt[:LONGEST])))

    def close(self, drain: float = DRAIN) -> None:
        """As ``Backlog.close``."""
        self._ending.set()
        self._backlog.close(drain)

    def _prepare(self) -> None:
        if self._blind:
            return
        try:
            usual_prompts(self._run, lambda texts: in_turns(texts, self._unless_ending))
        except _Ended:
            pass
        except Exception as e:  # a server that watches nothing is better than none
            self._stop(e)

    def _unless_ending(self, texts: Sequence[str]) -> Features:
        if self._ending.is_set():
            raise _Ended
        return self._embed(texts)

    def _encode(self, prompts: Sequence[tuple[str, str]]) -> None:
        try:
            made = in_turns([text for _, text in prompts], self._embed)
        except ParetoError as e:  # the encoder is not installed, and will not be before the next start
            self._stop(e)
            raise
        for (id, _), features in zip(prompts, made, strict=True):
            self._log.add_features(id, features.tolist())

    def _stop(self, e: Exception) -> None:
        if not self._blind:
            self._note(f"drift of prompts is not watched: {' '.join(str(e).split())}")
        self._blind = True


def in_turns(texts: Sequence[str], embed: Embed) -> Features:
    """Features of texts that resemble each other in length together, so that others have the encoder in between."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    turns: list[list[int]] = [[]]
    for i in order:
        if len(turns[-1]) == BATCH or (len(turns[-1]) + 1) * len(texts[i]) > PADDED:
            turns.append([])
        turns[-1].append(i)
    made = np.concatenate([embed([texts[i] for i in turn]) for turn in turns if turn])
    return np.asarray(made[np.argsort(order)])


class _Ended(Exception):
    """The server ends before all is encoded."""
