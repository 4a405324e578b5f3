"""What runs in a worker process of the local engine: one work after another, as long as its parent lives.

Run as ``python -m pareto.engines.worker FD PARENT``: the descriptor of a socket to the parent, and its process id;
stdin is a pipe that the parent holds open. A line from the parent is a work (``as_text``); a line back is ``b`` with a
key, units done and units in all, or ``e`` with an end. Nothing heavy is imported before a work does so, and what it
imported stays for the next.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import final

from pareto.engines.performing import failed, perform
from pareto.engines.work import Work, as_text, work_from

EVERY = 0.1
"""Seconds between two reports at least."""


def main() -> None:
    """Do works until the parent is gone."""
    descriptor, parent = map(int, sys.argv[1:])
    _die_with(parent)
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A command's output is its own.
    os.dup2(2, 1)
    os.set_inheritable(descriptor, False)
    line = Line(descriptor)
    with open(descriptor, "rb", closefd=False) as works:
        for work in works:
            line.say(b"e" + _do(work_from(work), line))


@final
class Line:
    """The way back to the parent; a forked child has none."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._file = open(descriptor, "wb", closefd=False)  # noqa: SIM115 (for as long as the process lives)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        # Else the parent would not see that this process died as long as a child of it lives.
        os.register_at_fork(after_in_child=lambda: os.close(descriptor))

    def is_mine(self) -> bool:
        """Whether this is the process that made it."""
        return os.getpid() == self._pid

    def say(self, message: bytes) -> None:
        """Send a line."""
        with self._lock:
            self._file.write(message + b"\n")
            self._file.flush()

    def is_free(self) -> bool:
        """Whether a short line can be sent without waiting for a parent that does not read."""
        return bool(select.select([], [self._descriptor], [], 0)[1])


def _do(work: Work, line: Line) -> bytes:
    said, began = -EVERY, time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= EVERY and line.is_mine() and line.is_free():
            said = now
            line.say(f"b {work.key} {int(done)} {int(total)}".encode())

    node = socket.gethostname()
    try:
        ended = perform(work, report, node)
    except KeyboardInterrupt as e:
        ended = failed(work, e, node, time.monotonic() - began)
    if not line.is_mine():
        # The task forked, and this is its child.
        os._exit(0)
    return as_text(ended).encode(errors="surrogatepass")


def _die_with(parent: int) -> None:
    """Take the other end of stdin for the parent's life: once it closes, the kernel kills this process group.

    The kernel, as a task may hang where no Python runs, or be stopped. Linux; elsewhere the work is brought to its end.
    """
    life = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    if sys.platform == "linux":
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
