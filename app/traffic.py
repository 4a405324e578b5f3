"""What *Monitor* reads of a run's traffic, computed once for each state of the log; shared by all sessions."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from pareto.errors import ParetoError
from pareto.frontier import read_frame
from pareto.store.run import Run
from pareto.traffic.alarms import Alarm, Settings, watched
from pareto.traffic.arms import Compared, compare
from pareto.traffic.frame import Frame
from pareto.traffic.log import FILE, TrafficLog
from pareto.traffic.records import Losses, Served
from pareto.traffic.usual import Prompts, Spreads, usual_prompts, usual_spreads

SHOWN = 10
"""Flagged requests, the latest."""
LITTLE = 1 << 22
"""Bytes of the disk; a log's next pages want some tens of thousands at once."""


@dataclass(frozen=True)
class Flagged:
    """A request on whose answer an ensemble wants a person to look."""

    served: Served
    spreads: dict[str, float]
    """Objective that flags it → spread."""


@dataclass(frozen=True, eq=False)
class Traffic:
    """What was served, and what it comes to."""

    names: tuple[str, ...]
    """Objectives in order of priority."""
    frame: Frame
    usual: dict[str, Spreads]
    """Of objectives with an ensemble."""
    alarms: list[Alarm]
    compared: Compared
    flagged: list[Flagged]
    """The latest first."""
    named: dict[str, Served]
    """Id → request, of those that alarms name."""
    trouble: str
    """Why the ensembles' calibration is not known; empty where it is."""
    lost: Losses
    """What servers could not log."""


def crammed(run: Run) -> bool:
    """Whether the disk has so little room that a server may not be able to log."""
    return shutil.disk_usage(run.path).free < LITTLE


def frame(run: Run, since: float) -> Frame:
    """A run's requests since a time: the quicker part of ``load``. Raises as ``load``."""
    return _frame(str(run.path), _stamp(run), since)


def load(run: Run, since: float) -> Traffic:
    """A run's traffic since a time.

    Raises:
        ParetoError: there is none, or the log cannot be read.
    """
    return _load(str(run.path), _stamp(run), since)


def served(run: Run) -> bool:
    """Whether the run has a log."""
    return (run.path / FILE).is_file()


def command(run: Run) -> str:
    """What serves a run."""
    root = run.path.parent
    beside = [] if root == Path("runs").absolute() else ["--root", str(root)]
    return shlex.join(["pareto", "serve", run.path.name, *beside])


def _stamp(run: Run) -> tuple[float, ...]:
    """Changes with every write: what is new stands in the write-ahead file first."""
    found = [p.stat() for p in (run.path / FILE, run.path / f"{FILE}-wal") if p.exists()]
    return tuple(part for s in found for part in (s.st_mtime, float(s.st_size)))


@st.cache_resource(show_spinner=False, max_entries=2)
def _frame(path: str, stamp: tuple[float, ...], since: float) -> Frame:
    with TrafficLog.open(Run.open(path)) as log:
        return log.frame(since)


@st.cache_resource(show_spinner=False, max_entries=2)
def _load(path: str, stamp: tuple[float, ...], since: float) -> Traffic:
    run = Run.open(path)
    usual, trouble = dict[str, Spreads](), ""
    try:
        usual = usual_spreads(run)
    except ParetoError as e:
        trouble = str(e)
    frame = _frame(path, stamp, since)
    with TrafficLog.open(run) as log:
        said = log.feedback(since)
        flagged = _flagged(log, frame)
        prompts = usual_prompts(run) if len(frame.featured) else Prompts.none()
        names = run.recipe.names
        longest = run.recipe.sampling.max_new_tokens
        alarms = watched(frame, names, prompts, usual, Settings(since=since), look="", longest=longest)
        named = log.named([id for alarm in alarms for id in alarm.examples])
        lost = log.missed(since)
    compared = compare(frame, said, _minimised(run))
    return Traffic(names, frame, usual, alarms, compared, flagged, named, trouble, lost)


def _minimised(run: Run) -> list[str]:
    try:
        frame = read_frame(run)
    except ParetoError:  # served from a run that is still going
        return []
    return [name for name, sign in zip(frame.objectives, frame.signs, strict=True) if sign < 0]


def _flagged(log: TrafficLog, frame: Frame) -> list[Flagged]:
    by = {name: (flags, frame.spreads.get(name, np.full(len(frame), np.nan))) for name, flags in frame.flagged.items()}
    if not any(flags.any() for flags, _ in by.values()):
        return []
    rows = np.flatnonzero(np.any([flags for flags, _ in by.values()], axis=0))[-SHOWN:]
    requests = log.named([frame.id[row] for row in rows])
    return [
        Flagged(requests[frame.id[row]], {n: float(spread[row]) for n, (flags, spread) in by.items() if flags[row]})
        for row in rows[::-1]
        if frame.id[row] in requests  # else deleted meanwhile
    ]
