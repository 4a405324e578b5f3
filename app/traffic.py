"""What *Monitor* reads of a run's traffic, computed once for each state of the log; shared by all sessions."""

from __future__ import annotations

import shlex
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
from pareto.traffic.records import Served
from pareto.traffic.usual import Prompts, Spreads, usual_prompts, usual_spreads

SHOWN = 10
"""Flagged requests, the latest."""


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
    trouble: str
    """Why the ensembles' calibration is not known; empty where it is."""


def load(run: Run, since: float) -> Traffic:
    """A run's traffic since a time.

    Raises:
        ParetoError: there is none, or the log cannot be read.
    """
    path = run.path / FILE
    if not path.is_file():
        raise ParetoError(f"{path}: no traffic was logged yet")
    return _load(str(run.path), _stamp(path), since)


def served(run: Run) -> bool:
    """Whether the run has a log."""
    return (run.path / FILE).is_file()


def command(run: Run) -> str:
    """What serves a run."""
    root = run.path.parent
    beside = [] if root == Path("runs").absolute() else ["--root", str(root)]
    return shlex.join(["pareto", "serve", run.path.name, *beside])


def _stamp(path: Path) -> tuple[float, ...]:
    """Changes with every write: what is new stands in the write-ahead file first."""
    found = [p.stat() for p in (path, path.with_name(f"{path.name}-wal")) if p.exists()]
    return tuple(part for s in found for part in (s.st_mtime, float(s.st_size)))


@st.cache_resource(show_spinner="Reading the traffic", max_entries=4)
def _load(path: str, stamp: tuple[float, ...], since: float) -> Traffic:
    run = Run.open(path)
    usual, trouble = dict[str, Spreads](), ""
    try:
        usual = usual_spreads(run)
    except ParetoError as e:
        trouble = str(e)
    with TrafficLog.open(run) as log:
        frame, said = log.frame(since), log.feedback(since)
        flagged = _flagged(log, frame)
    prompts = usual_prompts(run) if len(frame.featured) else Prompts.none()
    names = run.recipe.names
    alarms = watched(frame, names, prompts, usual, Settings(since=since))
    return Traffic(names, frame, usual, alarms, compare(frame, said, _minimised(run)), flagged, trouble)


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
    requests = {s.id: s for s in log.served(float(frame.time[rows[0]]))}
    return [
        Flagged(requests[frame.id[row]], {n: float(spread[row]) for n, (flags, spread) in by.items() if flags[row]})
        for row in rows[::-1]
        if frame.id[row] in requests  # else deleted meanwhile
    ]
