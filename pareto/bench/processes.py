"""``pareto`` as a process of its own, from this very source."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def started(*words: str, end: signal.Signals, patience: float) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a command until the block ends.

    Args:
        words: after ``pareto``.
        end: the signal that asks it to end.
        patience: seconds after which it is killed.

    Yields:
        The process, and the file that holds what it says.
    """
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        command = [sys.executable, "-m", "pareto.cli", *words]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=with_this_source())
        try:
            yield process, Path(log.name)
        finally:
            process.send_signal(end)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def with_this_source() -> dict[str, str]:
    """An environment in which Python finds this very source first."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
