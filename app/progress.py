"""How far a sweep has come, read from its folder alone: so one that another process leads shows just as well.

Free of Streamlit; imports neither torch nor Optuna.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pareto.front.frame import Frame
from pareto.front.indicators import hypervolume
from pareto.frontier import read_frame
from pareto.records import Point
from pareto.store.points import load_points
from pareto.store.run import Run

QUIET = 20.0
"""Seconds without a sign of life after which a sweep that holds no lock counts as stopped: it loads libraries first."""
UNSEEN = 180.0
"""The same where locks cannot be seen: in PostgreSQL, or on a system that does not list them."""
LOCKS = Path("/proc/locks")
RECENT = 5
"""The remaining time follows from so many of the latest policies."""


@dataclass(frozen=True)
class Progress:
    """A run as its folder shows it now."""

    finished: bool
    """Its front is measured on test."""
    running: bool
    """Some process works on it."""
    leader: int | None
    """Pid of a process of this machine that works on it."""
    quiet: float
    """Seconds since the last sign of life."""
    phase: str
    """What is being done, or would be done next."""
    trained: int
    trials: int
    """Policies that are trained and measured, of those that the recipe asks for."""
    soups: int
    soups_asked: int
    remaining: float | None
    """Seconds until the last policy is trained, at the pace of the latest; ``None``: no pace yet or nothing left."""
    failures: tuple[str, ...]
    """What failed, one line each; the sweep went on."""
    points: tuple[Point, ...]
    """Measured on validation, in the order of their making; the base first."""
    frame: Frame | None
    """``None`` before the base policy is measured."""
    hypervolumes: tuple[float, ...]
    """Of the policies so far, after each of ``points`` but the base, in base standard deviations."""

    @classmethod
    def of(cls, run: Run, now: float | None = None) -> Progress:
        """Read a run's folder.

        Args:
            run: the run.
            now: seconds since 1970; default: the clock's.
        """
        now = time.time() if now is None else now
        recipe, log = run.recipe, events(run)
        finished = (run.path / "front.json").is_file()
        leader = holder(run)
        quiet = max(now - _last_sign(run.path), 0.0)
        measured = load_points(run)
        points = sorted((p for p in measured if p.split == "validation"), key=_made)
        trained = sum(p.kind in ("expert", "trained") for p in points)
        soups = sum(p.id.startswith("soup-") for p in points)
        named = {str(e.get("name")) for e in log if e["event"] == "phase"}
        soups_asked = 0 if finished else recipe.soups.count
        if not finished:
            tested = sum(p.split == "test" for p in measured)
            phase = _phase(recipe.driver.trials, trained, soups, recipe.soups.count, named, tested)
        else:
            phase, soups_asked = "finished", soups
        left = max(recipe.driver.trials - trained, 0)
        pace = None if finished else _pace(log)
        return cls(
            finished=finished,
            running=leader is not None or (not finished and quiet < _patience(run, pace)),
            leader=leader,
            quiet=quiet,
            phase=phase,
            trained=trained,
            trials=trained if finished else max(recipe.driver.trials, trained),
            soups=soups,
            soups_asked=soups_asked,
            remaining=pace * left if pace is not None and left else None,
            failures=tuple(f"trial {e.get('trial')}: {e.get('reason')}" for e in log if e["event"] == "trial failed"),
            points=tuple(points),
            frame=read_frame(run) if (run.path / "frame.json").is_file() else None,
            hypervolumes=_hypervolumes(run, points),
        )


def events(run: Run) -> list[dict[str, Any]]:
    """The run's log; a line that is not whole is left out."""
    found = []
    for line in run.log_path.read_text(encoding="utf-8").splitlines() if run.log_path.is_file() else []:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(event, dict) and {"time", "event"} <= event.keys():
            found.append(event)
    return found


def holder(run: Run) -> int | None:
    """Pid of a process that holds one of the run's locks, where the system tells.

    Read, never tried: whoever takes a lease for a moment only, takes it from the sweep.
    """
    if not LOCKS.is_file():
        return None
    files = [run.path / "study.lock", run.path / "map.lock", *(run.path / "leases").glob("*.lock")]
    inodes = {str(path.stat().st_ino) for path in files if path.exists()}
    for line in LOCKS.read_text().splitlines():
        fields = line.split()
        # "12: FLOCK ADVISORY WRITE pid major:minor:inode start end"; a line with an arrow only waits.
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] in inodes:
            return int(fields[4])
    return None


def _phase(trials: int, trained: int, soups: int, soups_asked: int, done: set[str], tested: int) -> str:
    if trained >= trials:
        return "measuring soups" if soups < soups_asked else f"measuring the front on test, {tested} policies done"
    for name, words in (
        ("load model and prompts", "loading the model and the prompts"),
        ("roll out", "rolling out"),
        ("score the pool", "scoring the rollouts"),
        ("measure the base", "measuring the base policy"),
    ):
        if name not in done:
            return words
    return "training and measuring policies"


def _made(p: Point) -> tuple[bool, int, str, int]:
    """Order of the points: the base, the trials by number, what came after them by name and number."""
    stem, _, number = p.id.rpartition("-")
    order = int(number) if number.isdigit() else 0
    if p.kind == "base":
        return (False, -1, "", 0)
    return (p.trial is None, p.trial or 0, {"soup": "0"}.get(stem, stem), order)


def _pace(log: list[dict[str, Any]]) -> float | None:
    """Median seconds between the latest trials' ends; the first counts from when the base was measured."""
    starts = [e for e in log if e["event"] == "phase" and e.get("name") == "measure the base"]
    ends = [_when(e) for e in [*starts[-1:], *(e for e in log if e["event"] == "trial")]]
    gaps = [b - a for a, b in pairwise(sorted(ends))]
    return median(gaps[-RECENT:]) if gaps else None


def _patience(run: Run, pace: float | None) -> float:
    return QUIET if LOCKS.is_file() and run.storage is None else max(2 * (pace or 0.0), UNSEEN)


def _when(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def _last_sign(folder: Path) -> float:
    """When anything in the folder was written last."""
    newest = [folder.stat().st_mtime]
    for path in folder.rglob("*"):
        try:
            newest.append(path.stat().st_mtime)
        except FileNotFoundError:  # a temporary name that is gone by now
            continue
    return max(newest)


def _hypervolumes(run: Run, points: list[Point]) -> tuple[float, ...]:
    if not (run.path / "frame.json").is_file():
        return ()
    frame = read_frame(run)
    means = [[p.mean[n] for n in frame.objectives] for p in points if p.kind != "base"]
    values = frame.normalise(np.array(means).reshape(-1, len(frame.objectives)))
    reference = np.array(frame.reference)
    return tuple(hypervolume(values[: k + 1], reference) for k in range(len(values)))
