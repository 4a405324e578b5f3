"""Sweeps, maps and measurements as processes of their own: they outlive the page, and the app that started them.

Each is one ``pareto`` command in a session of its own. ``.jobs/`` under the root of runs keeps what was started
(``NAME.json``) and what it says (``NAME.log``). Free of Streamlit.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pareto.errors import ParetoError
from pareto.records import SCHEMA
from pareto.store.files import read_json, write_json

FOLDER = ".jobs"
PATIENCE = 15.0
"""Seconds that a job has to end after being interrupted, and again after being told to terminate."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_STARTING = threading.Lock()
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Those of this process, by pid: a child is a zombie until somebody asks how it ended."""


@dataclass(frozen=True)
class Job:
    """A command that was started once; it may have ended."""

    root: str
    """Folder of the runs."""
    name: str
    words: tuple[str, ...]
    """After ``pareto``."""
    pid: int
    born: float
    """When the system says that the process began, seconds since 1970: a pid is used again, a pid and its birth are
    not."""

    @property
    def log(self) -> Path:
        """What it printed, both streams."""
        return Path(self.root, FOLDER, f"{self.name}.log")

    @property
    def command(self) -> str:
        """As a person would type it."""
        import shlex

        return shlex.join(["pareto", *self.words])

    def process(self) -> psutil.Process | None:
        """The process, while it runs."""
        child = _CHILDREN.get(self.pid)
        if child is not None:
            child.poll()
        try:
            found = psutil.Process(self.pid)
            # To a hundredth: the system counts in ticks, and psutil adds them to the time of the boot.
            return found if abs(found.create_time() - self.born) < 0.05 and _runs(found) else None
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process() is not None

    @property
    def code(self) -> int | None:
        """How it ended, minus the signal that ended it; ``None`` while it runs or where another app started it."""
        child = _CHILDREN.get(self.pid)
        return None if child is None else child.poll()

    def tail(self, lines: int = 40) -> str:
        """The last lines that it printed, without control characters."""
        try:
            with open(self.log, "rb") as f:
                f.seek(max(0, f.seek(0, os.SEEK_END) - 200 * lines))
                text = f.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(_CONTROL.sub("", text.replace("\r", "\n")).rstrip().split("\n")[-lines:])

    def ending(self) -> str:
        """How it ended, for people; of one that did not do what it was started for."""
        last = self.tail(1)
        if last.startswith("pareto: "):
            return last.removeprefix("pareto: ")
        if "Traceback (most recent call last)" in self.tail(400):
            return f"it ended with an error: {last}"
        killed = f"killed by signal {-self.code}" if self.code is not None and self.code < 0 else "killed?"
        return f"it ended without finishing ({killed})"

    def stop(self) -> None:
        """Interrupt it as ctrl-C does; what does not end is told to terminate, then killed. Returns at once."""
        process = self.process()
        if process is not None:
            threading.Thread(target=_stop, args=(process,), daemon=True).start()


def start(root: Path, name: str, words: Sequence[str]) -> Job:
    """Start ``pareto WORDS``, unless the job of that name runs already.

    Args:
        root: folder of the runs; made where it is missing.
        name: what the job is found by, such as ``sweep-smoke``.
        words: the command's arguments.

    Raises:
        ParetoError: it runs already, or its name cannot be a file's.
    """
    if not _NAME.fullmatch(name):
        raise ParetoError(f"job {name!r}: must be letters, digits and _ . + -")
    with _STARTING:
        earlier = find(root, name)
        if earlier is not None and earlier.alive:
            raise ParetoError(f"{earlier.command}: runs already (process {earlier.pid})")
        folder = root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{name}.log", "wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "pareto.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "160"},
            )
        _CHILDREN[child.pid] = child
        job = Job(str(root), name, tuple(words), child.pid, psutil.Process(child.pid).create_time())
        write_json(folder / f"{name}.json", {"schema": SCHEMA, **asdict(job)})
        return job


def find(root: Path, name: str) -> Job | None:
    """The latest job of a name; ``None`` where there was none or its file is damaged."""
    try:
        kept = read_json(root / FOLDER / f"{name}.json")
        return Job(str(root), name, tuple(map(str, kept["words"])), int(kept["pid"]), float(kept["born"]))
    except (ParetoError, KeyError, TypeError, ValueError):
        return None


def jobs(root: Path) -> list[Job]:
    """All of them, the latest first."""
    found = (find(root, path.stem) for path in (root / FOLDER).glob("*.json"))
    return sorted((job for job in found if job is not None), key=lambda job: -job.born)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def _stop(process: psutil.Process) -> None:
    # The whole session, as a terminal does: a sweep may have processes of its own.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            child = _CHILDREN.get(process.pid)
            if child is not None:
                child.poll()
            if not _runs(process):
                return
            time.sleep(0.1)
