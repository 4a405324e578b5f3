"""What is learned of served requests off their path: scores of a share of the answers, features of the prompts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pareto.inference.server.judging import ENCODING, Judging, Told
from pareto.traffic import usual
from pareto.traffic.backlog import DRAIN, Backlog, Counted
from pareto.traffic.records import ScoredAnswer

if TYPE_CHECKING:
    from pareto.inference.server.engine import Row
    from pareto.inference.server.places import Place
    from pareto.traffic.log import TrafficLog
    from pareto.traffic.usual import Features
    from pareto.traffic.watching import Watching

WAITING = 256
"""Answers that wait to be scored; more are dropped."""


def embed(texts: Sequence[str]) -> Features:
    """As ``usual.embed``, while nobody else uses the encoder."""
    with ENCODING:
        return usual.embed(texts)


@dataclass(frozen=True)
class _Answer:
    id: str
    arm: str
    place: Place
    prompt: str
    row: Row


class Scorer:
    """Scores answers in a thread of its own and puts the result into the log; close it to end the thread."""

    def __init__(
        self,
        judging: Mapping[str, Judging],
        log: TrafficLog,
        share: float,
        watching: Watching,
        *,
        most_waiting: int = WAITING,
    ) -> None:
        """Start the thread.

        Args:
            judging: arm → its rewards.
            log: where scores go.
            share: of the answers that are scored, 0 to 1.
            watching: given the prompts of all.
            most_waiting: answers that may wait.

        Raises:
            ParetoError: a share that is none.
        """
        self._judging, self._log, self.watching = judging, log, watching
        self.on_scored: Callable[[str, Mapping[str, Told]], None] = lambda arm, told: None
        """Told the arm and the rewards of each answer, in the scorer's thread."""
        self._backlog: Backlog[_Answer] = Backlog(self._score, share, name="score", most=most_waiting)

    @property
    def counted(self) -> Counted:
        """So far."""
        return self._backlog.counted

    def offer(self, id: str, arm: str, place: Place, prompt: str, row: Row) -> bool:
        """Have a logged request's prompt watched and its answer scored, each if it is of the share; never waits.

        Returns:
            Whether it will be scored.
        """
        self.watching.offer(id, prompt)
        return self._backlog.offer(id, _Answer(id, arm, place, prompt, row))

    def close(self, drain: float = DRAIN) -> None:
        """As ``Backlog.close``; what is watched goes on."""
        self._backlog.close(drain)

    def _score(self, answers: Sequence[_Answer]) -> None:
        for answer in answers:
            told = self._judging[answer.arm].rewards(answer.prompt, answer.row)
            self._log.add_score(
                ScoredAnswer(
                    id=answer.id,
                    time=time.time(),
                    scores={name: math.nan if t["value"] is None else t["value"] for name, t in told.items()},
                    spreads={name: t["spread"] for name, t in told.items() if t["spread"] is not None},
                    flagged=tuple(name for name, t in told.items() if t["flagged"]),
                    predicted={name: interval["mean"] for name, interval in answer.place.predicted.items()},
                )
            )
            self.on_scored(answer.arm, told)
