"""The cluster's table of its nodes, read over and over beside the driver, which it can then not make wait."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, final

import ray

from pareto.errors import ParetoError

EVERY = 1.0
"""Seconds from one look to the next."""
SILENCE = 30.0
"""Seconds without an answer after which the head counts as gone; one that Redis keeps may restart meanwhile."""


@final
class Table:
    """Rows of ``ray.nodes()``, as they were last."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._rows: list[dict[str, Any]] = ray.nodes()
        self._heard = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def rows(self) -> list[dict[str, Any]]:
        """One per node that is or was there.

        Raises:
            ParetoError: the head has not answered for ``SILENCE`` seconds.
        """
        if time.monotonic() - self._heard > SILENCE:
            raise ParetoError(
                f"the cluster at {self._address} does not answer any more; start one and give the same command again"
            )
        return self._rows

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join(EVERY)

    def _look(self) -> None:
        while not self._closed.wait(EVERY):
            with suppress(Exception):
                self._rows = ray.nodes()
                self._heard = time.monotonic()


def name_of(row: dict[str, Any]) -> str:
    """What a node is called: its host's name, and the start of its id, as a host may come back or be there twice."""
    return f"{row['NodeManagerHostname']}-{row['NodeID'][:6]}"
