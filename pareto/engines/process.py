"""A worker process, as the local engine sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import IO, cast, final

from pareto.engines.work import Work, as_text

SEND, END = 60.0, 10.0
"""Seconds in which a worker must take a work, and in which the system must have ended a killed one."""


@final
class Process:
    """One worker, the leader of a process group of its own, so that what a task starts is ended with it.

    Args:
        threads: of OpenMP and of what follows it, such as torch, unless the user's environment says how many.
    """

    def __init__(self, threads: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pareto.engines.worker", str(theirs.fileno()), str(os.getpid())],
                env={"OMP_NUM_THREADS": str(threads)} | os.environ | {"PYTHONPATH": _path()},
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        ours.settimeout(SEND)
        self._socket = ours
        self._rest = b""

    def fileno(self) -> int:
        """Readable when there is something to hear, the end of the process included."""
        return self._socket.fileno()

    def send(self, work: Work) -> None:
        """Give it a work.

        Raises:
            OSError: it died, or does not take it.
        """
        self._socket.sendall(as_text(work).encode(errors="surrogatepass") + b"\n")

    def hear(self) -> list[bytes]:
        """The whole lines that came; for when it is readable.

        Never waits for the rest of a line: its sender may have been stopped in the middle.

        Raises:
            EOFError: the process died.
        """
        with suppress(ConnectionError):
            heard = self._socket.recv(1 << 16)
            if heard:
                *lines, self._rest = (self._rest + heard).split(b"\n")
                return lines
        raise EOFError

    def kill(self) -> int:
        """End it and what its task started; returns its exit code, or minus the signal that ended it."""
        # Its group has its number until it is waited for. On macOS a group of the dead alone is a PermissionError.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._socket.close()
        cast(IO[bytes], self._process.stdin).close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END)
        return self._process.returncode if self._process.returncode is not None else -signal.SIGKILL


def said(code: int) -> str:
    """How a process ended, in words: ``killed by SIGKILL``, ``exit code 3``."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _path() -> str:
    """Where this process finds its modules, for one with another working folder at the head of its path."""
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path)
