"""What every engine does, whatever carries its works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pareto.engines.work import Beat, Ended, Node, Work


class Engine(Protocol):
    """Carries works to whoever does them. It is disposable: what it loses is submitted again.

    For one thread. A task gets ``body`` and ``place`` as JSON gives them back, and what it returns comes back in the
    same way: tuples are lists, NaN is None, so that a result is the same from every engine and from a file.
    """

    def submit(self, work: Work) -> None:
        """Run it as soon as a slot is free, the longest first among those that wait.

        Raises:
            ValueError: a work of this key is here already and was not told as ended, or an infinity is in it.
            TypeError: it is not plain data.
        """

    def wait(self, seconds: float) -> list[Ended]:
        """What ended since the last call: as soon as something has, or nothing after so many seconds.

        The only place where an engine sleeps.
        """

    def cancel(self, key: str) -> None:
        """Stop a work wherever it is; it is not told any more. A key that is not here is fine."""

    def capacity(self) -> int:
        """Slots that are free: submitting so many works more starts them at once."""

    def beats(self) -> Mapping[str, Beat]:
        """Key → progress of every work under way, from its start on."""

    def nodes(self) -> list[Node]:
        """The machines."""

    def now(self) -> float:
        """Seconds by this engine's clock, which never goes back; a simulated engine's is virtual."""

    def close(self) -> None:
        """End what runs and free everything."""
