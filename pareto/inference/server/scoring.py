"""Scoring a share of what was served, off the request path: a request never waits for a reward."""

from __future__ import annotations

import hashlib
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pareto.errors import ParetoError
from pareto.inference.server.judging import ENCODING, Judging, Told
from pareto.traffic.records import ScoredAnswer
from pareto.traffic.usual import Embed, embed

if TYPE_CHECKING:
    from pareto.inference.server.engine import Row
    from pareto.inference.server.places import Place
    from pareto.traffic.log import TrafficLog

WAITING = 256
"""Answers that wait to be scored; more are dropped."""
DRAIN = 10.0
"""Seconds that closing waits for them."""


@dataclass(frozen=True)
class Counted:
    """What became of the answers that were drawn for scoring."""

    scored: int = 0
    dropped: int = 0
    """More came than could be scored."""
    failed: int = 0
    """Something broke while they were."""
    reason: str = ""
    """Of the last failure."""
    waiting: int = 0


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
        *,
        most_waiting: int = WAITING,
        embed: Embed = embed,
    ) -> None:
        """Start the thread.

        Args:
            judging: arm → its rewards.
            log: where scores go, and the features of their prompts.
            share: of the answers that are scored, 0 to 1.
            most_waiting: answers that may wait.
            embed: prompts to features.

        Raises:
            ParetoError: a share that is none.
        """
        if not 0 <= share <= 1:
            raise ParetoError(f"score share {share:g}: wanted a share of the answers, from 0 to 1")
        self._judging, self._log, self._share = judging, log, share
        self._embed: Embed | None = embed
        self.on_scored: Callable[[str, Mapping[str, Told]], None] = lambda arm, told: None
        """Told the arm and the rewards of each answer, in the scorer's thread."""
        self._queue: queue.Queue[_Answer] = queue.Queue(most_waiting)
        self._ending = threading.Event()
        self._scored = self._dropped = self._failed = 0
        self._reason = ""
        self._thread = threading.Thread(target=self._work, name="scorer", daemon=True)
        self._thread.start()

    @property
    def counted(self) -> Counted:
        """So far."""
        return Counted(self._scored, self._dropped, self._failed, self._reason, self._queue.qsize())

    def offer(self, id: str, arm: str, place: Place, prompt: str, row: Row) -> bool:
        """Have an answer scored, if it is of the share; never waits.

        Which ones are is a hash of the id's: the same whenever it is asked.

        Returns:
            Whether it will be.
        """
        drawn = int.from_bytes(hashlib.sha256(id.encode(errors="replace")).digest()[8:16])
        if self._ending.is_set() or drawn >= self._share * 2**64:
            return False
        try:
            self._queue.put_nowait(_Answer(id, arm, place, prompt, row))
        except queue.Full:
            self._dropped += 1
            return False
        return True

    def close(self, drain: float = DRAIN) -> None:
        """End the thread when all that waits is scored, or after so many seconds; what is left then is dropped."""
        self._ending.set()
        self._thread.join(drain)
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
            self._dropped += 1
        self._thread.join(drain)

    def _work(self) -> None:
        while True:
            try:
                answer = self._queue.get(timeout=0.1)
            except queue.Empty:
                if self._ending.is_set():
                    return
                continue
            try:
                self._score(answer)
                self._scored += 1
            except Exception as e:  # whatever breaks one answer must not end the scoring of the others
                self._failed += 1
                self._reason = " ".join(f"{type(e).__name__}: {e}".split())

    def _score(self, answer: _Answer) -> None:
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
        if self._embed is None:
            return
        try:
            with ENCODING:
                features = self._embed([answer.prompt])[0]
        except ParetoError:  # the encoder is not installed, and will not be before the next start
            self._embed = None
            return
        self._log.add_features(answer.id, features.tolist())
