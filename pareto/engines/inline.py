"""An engine of one slot: this process."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import final

from pareto.engines.performing import perform
from pareto.engines.work import Beat, Ended, Node, Work, as_text, take_longest, work_from


@final
class Inline:
    """Does one work after another, inside of ``wait``. Nothing is isolated: a task that dies takes all with it."""

    def __init__(self) -> None:
        self.on_beat: Callable[[str, Beat], None] = lambda key, beat: None
        """Told of the progress of the work that runs, by its key: ``wait`` does not return meanwhile."""
        self._waiting: dict[str, Work] = {}
        self._running: dict[str, Beat] = {}
        self._node = socket.gethostname()

    def submit(self, work: Work) -> None:
        """See ``Engine.submit``."""
        if work.key in self._waiting or work.key in self._running:
            raise ValueError(f"{work.key} ({work.label}) is here already")
        self._waiting[work.key] = work_from(as_text(work))

    def wait(self, seconds: float) -> list[Ended]:
        """Run the longest work that waits, however long it takes; sleep where none does.

        Raises:
            KeyboardInterrupt: ctrl-C; the work is gone.
        """
        if not self._waiting:
            time.sleep(seconds)
            return []
        work = take_longest(self._waiting)
        self._running[work.key] = Beat(0, 0, 0, self._node)
        try:
            ended = perform(work, lambda done, total: self._report(work.key, done, total), self._node)
            return [ended] if work.key in self._running else []
        finally:
            self._running.clear()

    def cancel(self, key: str) -> None:
        """See ``Engine.cancel``; a work that runs goes on to its end, which is not told."""
        self._waiting.pop(key, None)
        self._running.pop(key, None)

    def capacity(self) -> int:
        """See ``Engine.capacity``."""
        return 0 if self._waiting or self._running else 1

    def beats(self) -> Mapping[str, Beat]:
        """See ``Engine.beats``: for ``on_beat``."""
        return dict(self._running)

    def nodes(self) -> list[Node]:
        """See ``Engine.nodes``."""
        return [Node(self._node, slots=1, busy=len(self._running), alive=True, gpus=0.0)]

    def now(self) -> float:
        """See ``Engine.now``."""
        return time.monotonic()

    def close(self) -> None:
        """See ``Engine.close``."""
        self._waiting.clear()

    def _report(self, key: str, done: int, total: int) -> None:
        if key in self._running:
            beat = Beat(int(done), int(total), self._running[key].count + 1, self._node)
            self._running[key] = beat
            self.on_beat(key, beat)
