"""An engine whose works are not lost: what is gone, or stands still, is submitted anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

from pareto.engines.engine import Engine
from pareto.engines.work import Beat, Ended, Node, Work

LOOK = 5.0
"""Seconds from one look at the progress to the next, at most; a quarter of the patience where that is less."""
SHARE = "batch_share"
"""In a work's body: the part of the batch that a task takes at a time."""


@dataclass
class _Watch:
    """A work and how it goes."""

    work: Work
    """As it was submitted first: it is told under this key."""
    now: Work
    """As it was submitted last."""
    losses: int = 0
    count: int = -1
    """Of the last beat that was seen."""
    node: str = ""
    began: float | None = None
    """Seconds of the engine's clock; None while it waits for a slot."""
    moved: float = 0.0
    """When its progress was seen to change."""


@final
class Watched:
    """An engine over another one.

    Lost works, and those whose progress has not changed for some time since they started, are cancelled and submitted
    anew. One that had too little memory is submitted once more with ``batch_share`` 0.5 in its body, and told under
    its first key. The first end of a work counts, later ones are dropped.

    Args:
        engine: that carries the works.
        patience: seconds without progress.
        retries: of a work that was lost or stood still; then it is told as failed.
        on_retry: told of a work that is submitted anew, and why, in one line.
    """

    def __init__(
        self,
        engine: Engine,
        patience: float,
        *,
        retries: int = 2,
        on_retry: Callable[[Work, str], None] = lambda work, why: None,
    ) -> None:
        self.retries = 0
        """Works submitted anew so far."""
        self.wasted_seconds = 0.0
        """Of slots, that came to nothing by this."""
        self._engine, self._patience, self._most, self._on_retry = engine, patience, retries, on_retry
        self._watches: dict[str, _Watch] = {}
        """First key → its watch."""
        self._firsts: dict[str, str] = {}
        """Key with the engine → first key."""

    def submit(self, work: Work) -> None:
        """See ``Engine.submit``."""
        if work.key in self._watches:
            raise ValueError(f"{work.key} ({work.label}) is here already")
        self._submit(_Watch(work, work))

    def wait(self, seconds: float) -> list[Ended]:
        """See ``Engine.wait``."""
        until = self.now() + seconds
        while True:
            left = max(0.0, until - self.now())
            ended = self._engine.wait(min(left, LOOK, self._patience / 4))
            told = [verdict for e in ended if (verdict := self._heard(e))] + self._stalled()
            if told or self.now() >= until:
                return told

    def cancel(self, key: str) -> None:
        """See ``Engine.cancel``."""
        if key in self._watches:
            self._forget(key)

    def capacity(self) -> int:
        """See ``Engine.capacity``."""
        return self._engine.capacity()

    def beats(self) -> Mapping[str, Beat]:
        """See ``Engine.beats``."""
        return {self._firsts[key]: beat for key, beat in self._engine.beats().items() if key in self._firsts}

    def nodes(self) -> list[Node]:
        """See ``Engine.nodes``."""
        return self._engine.nodes()

    def now(self) -> float:
        """See ``Engine.now``."""
        return self._engine.now()

    def close(self) -> None:
        """See ``Engine.close``."""
        self._engine.close()

    def _submit(self, watch: _Watch) -> None:
        # It starts at once where a slot is free: one that never reports is found out too.
        watch.began = self.now() if self._engine.capacity() > 0 else None
        watch.moved, watch.count, watch.node = self.now(), -1, ""
        self._engine.submit(watch.now)
        self._watches[watch.work.key] = watch
        self._firsts[watch.now.key] = watch.work.key

    def _heard(self, ended: Ended) -> Ended | None:
        """What to tell of an end; nothing of one that does not count, or whose work is submitted anew."""
        first = self._firsts.get(ended.key)
        if first is None:
            return None
        watch = self._watches[first]
        if ended.cause == "memory" and ended.outcome != "done":
            if SHARE in watch.now.body:
                why = f"out of memory, with half the batch too: {ended.error}"
                return self._told(watch, replace(ended, outcome="failed", error=why))
            halved = replace(watch.now, body={**watch.now.body, SHARE: 0.5})
            self._again(watch, halved, f"out of memory: {ended.error}; trying half the batch")
            return None
        if ended.outcome == "lost":
            return self._lost(watch, f"lost on node {ended.node}: {ended.error}", ended.node)
        return self._told(watch, ended)

    def _stalled(self) -> list[Ended]:
        """What to tell of works without progress that were submitted often enough."""
        beats, now, told = self.beats(), self.now(), []
        for key, watch in list(self._watches.items()):
            beat = beats.get(key)
            if beat and (watch.began is None or beat.count != watch.count):
                watch.began = now if watch.began is None else watch.began
                watch.moved, watch.count, watch.node = now, beat.count, beat.node
            elif watch.began is not None and now - watch.moved >= self._patience:
                where = f" on node {watch.node}" if watch.node else ""
                ended = self._lost(watch, f"no progress for {self._patience:g} s{where}", watch.node)
                told += [ended] if ended else []
        return told

    def _lost(self, watch: _Watch, why: str, node: str) -> Ended | None:
        watch.losses += 1
        if watch.losses > self._most:
            tries = f"given up after {watch.losses} {'try' if watch.losses == 1 else 'tries'}"
            self._waste(watch)
            return self._told(watch, Ended(watch.work.key, "failed", {}, f"{why}, {tries}", node=node))
        self._again(watch, watch.now, why)
        return None

    def _again(self, watch: _Watch, work: Work, why: str) -> None:
        self._waste(watch)
        self.retries += 1
        self._engine.cancel(watch.now.key)
        watch.now = work
        self._submit(watch)
        self._on_retry(watch.work, why)

    def _told(self, watch: _Watch, ended: Ended) -> Ended:
        self._forget(watch.work.key)
        return replace(ended, key=watch.work.key)

    def _waste(self, watch: _Watch) -> None:
        if watch.began is not None:
            self.wasted_seconds += self.now() - watch.began

    def _forget(self, first: str) -> None:
        """Nothing that the engine still says of it counts."""
        del self._watches[first]
        for key in [key for key, value in self._firsts.items() if value == first]:
            del self._firsts[key]
            self._engine.cancel(key)
