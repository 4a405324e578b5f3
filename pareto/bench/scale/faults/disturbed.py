"""A fast sweep under way, what is done to it, and what its history says at its end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, Literal, Self

import psutil

from pareto.bench.processes import with_this_source
from pareto.bench.scale.faults.database import Server
from pareto.bench.scale.faults.fast import NAME, Order
from pareto.bench.scale.faults.history import History
from pareto.errors import ParetoError

Fault = Literal["kill worker", "hang worker", "kill driver", "hang driver", "restart database", "full disk"]
LATEST = 120.0
"""Seconds after which a sweep counts as stuck."""
TAG = "PARETO_FAULTS"
"""In the environment of all processes of a sweep."""


class Disturbed:
    """A fast sweep under way, and what is done to it. A context manager; on leaving nothing of it runs any more."""

    suffered: list[str]
    """What was done to it."""

    def __init__(self, root: Path, order: Order) -> None:
        self.root, self.order = root, order
        self.history = History(Path(order.history), root / NAME, order.storage, order.trials)
        self.suffered, self.began = [], time.monotonic()
        self._tag = uuid.uuid4().hex
        self._said: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 (for as long as this object lives)
        self._drivers: list[subprocess.Popen[bytes]] = []
        self.driver = self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for driver in self._drivers:
            driver.wait()
        self._said.close()

    def start(self, **changes: Any) -> subprocess.Popen[bytes]:
        """Start a driver; the first one, or one after it."""
        order = json.dumps(asdict(replace(self.order, **changes)))
        self.driver = subprocess.Popen(
            [sys.executable, "-m", "pareto.bench.scale.faults.fast", str(self.root), order],
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env=with_this_source() | {TAG: self._tag},
        )
        self._drivers.append(self.driver)
        return self.driver

    def processes(self) -> list[psutil.Process]:
        """All of the sweep that live, stopped ones too."""
        return [p for p in psutil.process_iter() if _tag_of(p) == self._tag]

    def workers(self) -> list[psutil.Process]:
        """Those that do the work."""
        return [p for p in self.processes() if p.pid != self.driver.pid]

    def reach(self, ended: int, later: float = 0.0) -> bool:
        """Wait until the first training has begun, so many have ended, and some seconds more; False when the sweep is
        over before."""
        self.until(
            lambda: self._over() or (bool(self.history.lines("begun")) and len(self.history.lines("ended")) >= ended)
        )
        time.sleep(later)
        return not self._over()

    def killed(self) -> bool:
        """Whether the driver was killed."""
        return self.driver.poll() == -signal.SIGKILL

    def until(self, true: Callable[[], bool], seconds: float = LATEST) -> None:
        """Wait until something is true.

        Raises:
            ParetoError: it does not come about.
        """
        ends = time.monotonic() + seconds
        while not true():
            if time.monotonic() > ends:
                raise ParetoError(
                    f"after {', '.join(self.suffered) or 'its start'} the sweep stands still: {self.said()}"
                )
            time.sleep(0.02)

    def suffer(self, fault: Fault, chance: random.Random, server: Server) -> None:
        """Have a fault strike."""
        self.suffered.append(fault)
        if fault == "kill driver":
            self.driver.kill()
            self.driver.wait()
            self.start()
        elif fault == "hang driver":
            self.driver.send_signal(signal.SIGSTOP)
            time.sleep(chance.random())
            self.driver.send_signal(signal.SIGCONT)
        elif fault == "restart database":
            server.stop("immediate")
            time.sleep(chance.random())
            server.start()
        elif fault == "full disk":
            ballast = self.root / "ballast"
            fill(ballast)
            time.sleep(chance.random())
            ballast.unlink()
        elif workers := self.workers():
            with suppress(psutil.NoSuchProcess):
                chance.choice(workers).send_signal(signal.SIGKILL if fault == "kill worker" else signal.SIGSTOP)

    def end(self) -> None:
        """Wait for the end.

        Raises:
            ParetoError: it does not come to its end.
        """
        self.until(self._over)
        if self.driver.returncode != 0:
            raise ParetoError(f"after {', '.join(self.suffered)} the sweep did not end well: {self.said()}")

    def said(self) -> str:
        """The last lines that drivers and workers printed."""
        self._said.seek(0)
        return "\n".join(self._said.read().splitlines()[-30:])

    def left(self) -> int:
        """Slots that were not free at the end, and processes that outlived it."""
        with suppress(ParetoError):
            self.until(lambda: not self.processes(), 10.0)
        over = self.history.lines("over")[-1]
        return self.order.workers - int(over["capacity"]) + len(self.processes())

    def _over(self) -> bool:
        """Whether the driver ended, but for a full disk: then it is started again."""
        if self.driver.poll() == 1 and self.said().rpartition("\n")[2].startswith("pareto: disk is full"):
            self.start()
        return self.driver.returncode is not None


def fill(ballast: Path) -> None:
    """Write a file until its disk is full."""
    with suppress(OSError), ballast.open("wb", buffering=0) as f:
        while True:
            f.write(bytes(4096))


def _tag_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(TAG) if process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
