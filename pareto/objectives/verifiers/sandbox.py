"""Run code that nobody has read, in a process of its own, within limits."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pareto
from pareto.errors import ParetoError
from pareto.objectives.verifiers.units import Unit, units

Status = Literal["pass", "fail", "timeout", "error"]


@dataclass(frozen=True)
class Limits:
    """What code may take.

    Raises:
        ParetoError: no time, or less memory than Python needs.
    """

    seconds: float = 5.0
    """From the start of the process to its end, by the wall clock."""
    memory: int = 512
    """Address space, in MiB; Python itself takes about 30."""
    unconfined: bool = False
    """Run also where the kernel has no filter: then only time, memory, processes and bytes written are limited,
    not the network."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ParetoError(f"seconds: {self.seconds} is no time limit; give a number above 0")
        if self.memory < 64:
            raise ParetoError(f"memory: {self.memory} MiB are too few to start Python in; give at least 64")


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: Status
    """``pass``: code and tests ran to their end. ``fail``: a test did not hold, or an ``assert`` of the code itself.
    ``timeout``: the time was up. ``error``: no test was reached (syntax, an exception, memory, an early exit)."""
    detail: str
    """One line: what was raised and where; empty for a pass."""
    seconds: float
    passed: int = 0
    """Tests that held."""
    tests: int = 0
    """Tests that there are."""


_MOST = 1 << 16
"""Bytes of a report: a pipe holds no more, so a process that writes more waits until its time is up."""
_MODULE = "pareto.objectives.verifiers.inside"
_ROOT = str(Path(pareto.__file__).resolve().parents[1])
"""Where this package is imported from."""
_CORES = threading.BoundedSemaphore(os.cpu_count() or 1)


def run(code: str, limits: Limits | None = None, tests: str = "") -> Outcome:
    """Run code and then its tests. May be called from any thread; so many run at once as there are cores.

    The process has an empty environment, an empty folder that is deleted afterwards, the standard library, and the
    filter of ``confinement``: no file is written, nothing is sent, no process or thread started (so no asyncio). Its
    group is killed at the limit, and it dies with the thread that waits for it.

    A verdict counts only with a token that the process reads when the last test has run, and a test is read when it
    is its turn. So none of these is a pass: printing, ``sys.exit(0)``, ``os._exit(0)``, catching everything, replacing
    built-ins or modules, looking for tests and token in frames, modules or the folder. Code and tests share one
    interpreter, so two things are not defended: an object that claims to equal everything, and code written against
    this very harness, which searches its descriptors for the request. Code may read what the user may read, but has
    no way to tell it but ``detail``.

    Args:
        code: Python, run as the module ``solution``.
        limits: default: ``Limits()``.
        tests: Python, run after it in the same module: each statement that does more than prepare is a test, and
            each function named ``test…``.

    Raises:
        ParetoError: the kernel cannot confine the process, and ``limits`` do not let it run unconfined.
    """
    limits = limits or Limits()
    try:
        parts = units(tests)
    except SyntaxError as e:
        return Outcome("error", f"the tests are no Python: {' '.join(str(e).split())}", 0.0)
    with _CORES:
        return _run(code.encode("utf-8", "replace"), parts, limits)


def _run(code: bytes, tests: list[Unit], limits: Limits) -> Outcome:
    token = secrets.token_hex(32).encode()
    header = {
        "code": len(code),
        "units": [(len(u.source), u.line, u.counts) for u in tests],
        "memory": limits.memory << 20,
        "seconds": math.ceil(limits.seconds),
        "unconfined": limits.unconfined,
    }
    asked = json.dumps(header).encode()
    command = [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", "-m", _MODULE, str(len(asked))]
    # -I would also ignore the seed of hashes, without which two runs of the same code may end differently.
    environment = {"PYTHONHASHSEED": "0", "PYTHONPATH": _ROOT}
    with tempfile.TemporaryDirectory(prefix="pareto-") as folder, tempfile.TemporaryFile() as request:
        request.write(b"".join([asked, code, *(u.source for u in tests), token]))
        request.flush()
        start = time.monotonic()
        with subprocess.Popen(
            command,
            stdin=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            bufsize=0,
            start_new_session=True,
        ) as process:
            try:
                process.wait(limits.seconds)
            except subprocess.TimeoutExpired:
                return Outcome("timeout", f"not done within {limits.seconds:g} s", time.monotonic() - start)
            finally:
                if process.poll() is None or limits.unconfined:  # else it cannot have left anybody behind
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)  # somebody left behind may hold the other end
            said = process.stdout.read(_MOST) or b""
        seconds = time.monotonic() - start
    parts = said.split(b"\0", 3)
    if len(parts) == 4 and secrets.compare_digest(parts[0], token):
        status, passed, detail = (p.decode() for p in parts[1:])
        if status == "refused":
            raise ParetoError(
                f"code cannot be confined here: {detail}; the sandbox needs Linux with seccomp on x86_64 or aarch64 "
                "(to run code with limits on time and memory alone, set the option 'unconfined')"
            )
        return Outcome(cast(Status, status), detail, seconds, int(passed), sum(u.counts for u in tests))
    return _unsaid(process.returncode, limits, seconds)


def _unsaid(code: int, limits: Limits, seconds: float) -> Outcome:
    """The outcome of a process that ended without a valid report."""
    if code == -signal.SIGXCPU:
        return Outcome("timeout", f"not done within {limits.seconds:g} s", seconds)
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return Outcome("error", f"ended by itself before the tests were done ({how})", seconds)
