"""Compare two mathematical answers, with a time limit that holds."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from pareto.errors import ParetoError
from pareto.objectives.verifiers.sandbox import Outcome, Status

_START = 120.0
"""Seconds in which the process must be there: sympy is slow to import, on a busy machine very slow."""


class Comparer:
    """A process that compares answers by math-verify; started when first needed, again after it was killed.

    math-verify's own limits are signals, which work in the main thread alone and not inside long operations of
    Python's integers.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin as new, as a forked process must: the connection and the lock are its parent's."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def compare(self, accepted: str, said: str, seconds: float) -> Outcome:
        """Whether an answer says the same as the accepted one; from any thread, one at a time.

        Args:
            accepted: LaTeX, or as people write.
            said: the same.
            seconds: limit on the comparison, once the process is there.

        Raises:
            ParetoError: the process does not start.
        """
        with self._lock:
            connection = self._started()
            start = time.monotonic()
            status: Status = "timeout"
            detail = f"not compared within {seconds:g} s"
            try:
                connection.send_bytes(json.dumps([accepted, said, seconds]).encode())
                if connection.poll(seconds):
                    status, detail = json.loads(connection.recv_bytes())
                else:
                    self._kill()
            except (EOFError, OSError):
                self._kill()
                status, detail = "error", "the comparison took its process down (memory or stack)"
            except BaseException:  # interrupted: the answer would come to the next question
                self._kill()
                raise
            return Outcome(status, detail, time.monotonic() - start)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._kill()

    def _started(self) -> Connection:
        if self._process is not None and self._process.poll() is not None:
            self._kill()
        if self._connection is None:
            ours, theirs = Pipe()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "pareto.objectives.verifiers.comparing", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self._connection = ours
            try:
                if not ours.poll(_START):
                    raise EOFError
                ours.recv_bytes()
            except EOFError:
                self._kill()
                raise ParetoError(
                    "the process that compares answers does not start; "
                    f"try '{sys.executable} -c \"import math_verify\"'"
                ) from None
        return self._connection

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


SHARED = Comparer()
"""One for this process."""
atexit.register(SHARED.close)
os.register_at_fork(after_in_child=SHARED.forget)
