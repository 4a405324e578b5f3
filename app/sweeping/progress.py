"""How far a sweep has come, read from its folder alone: so one that another process leads shows just as well.

Free of Streamlit; imports neither torch nor Optuna.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from app.measures import growth, made_order
from app.sweeping.jobs import Job
from pareto.front.frame import Frame
from pareto.frontier import read_frame
from pareto.records import Point
from pareto.simplex import parse_numbers
from pareto.soups.frontier_map import FILE
from pareto.store.points import load_points
from pareto.store.run import Run

QUIET = 20.0
"""Seconds without a sign of life after which a sweep that holds no lock counts as stopped: it loads libraries first."""
UNSEEN = 180.0
"""The same where locks cannot be seen: in PostgreSQL, or on a system that does not list them."""
LOCKS = Path("/proc/locks")
SOUP = re.compile(r"map-\d+")
SOUPS = 40
"""Soups that ``pareto map`` measures where nothing else is asked."""
RECENT = 5
"""The remaining time follows from so many of the latest policies."""


@dataclass(frozen=True)
class Task:
    """A map or a measurement under way."""

    words: str
    done: int = 0
    asked: int = 0
    """0: nobody knows of how many."""


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
    task: Task | None
    """What runs that is not the sweep itself."""

    @classmethod
    def of(cls, run: Run, now: float | None = None, job: Job | None = None) -> Progress:
        """Read a run's folder.

        Args:
            run: the run.
            now: seconds since 1970; default: the clock's.
            job: that works on the run at the moment, where an app started it.
        """
        now = time.time() if now is None else now
        recipe, log = run.recipe, run.events()
        finished = (run.path / "front.json").is_file()
        leader, lock = holder(run) or (job.pid if job else None, "")
        quiet = max(now - max(_last_sign(run.path), _written(job.log) if job else 0.0), 0.0)
        measured = load_points(run)
        points = made_order([p for p in measured if p.split == "validation"])
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
        frame = read_frame(run) if (run.path / "frame.json").is_file() else None
        words = job.words if job else ("map",) if lock == "map.lock" else ()
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
            frame=frame,
            hypervolumes=tuple(value for _, value in growth(points, frame)[0]) if frame else (),
            task=_task(words, [e for e in log if job and _when(e) >= job.born], measured),
        )


def holder(run: Run) -> tuple[int, str] | None:
    """Pid of a process that holds one of the run's locks, and the lock's file name, where the system tells.

    Read, never tried: whoever takes a lease for a moment only, takes it from the sweep.
    """
    if not LOCKS.is_file():
        return None
    files = [run.path / "study.lock", run.path / "map.lock", *(run.path / "leases").glob("*.lock")]
    inodes = {str(path.stat().st_ino): path.name for path in files if path.exists()}
    for line in LOCKS.read_text().splitlines():
        fields = line.split()
        # "12: FLOCK ADVISORY WRITE pid major:minor:inode start end"; a line with an arrow only waits.
        if fields[1] == "FLOCK" and (name := inodes.get(fields[5].rpartition(":")[2])):
            return int(fields[4]), name
    return None


def unfinished(run: Run, job: Job) -> bool:
    """Whether a job that ended did not do what it was started for; one that another app started tells by its files."""
    if job.code == 0:
        return False
    front, made = _written(run.path / "front.json"), _written(run.path / FILE)
    if job.words[0] == "sweep":
        return not front
    if job.words[0] == "map":
        # The map is written before the front and once more after it.
        return made < max(job.born, front)
    mix = mix_of(job)
    tested = {p.id for p in load_points(run) if p.split == "test" and p.coefficients == mix}
    return not tested


def mix_of(job: Job) -> dict[str, float] | None:
    """The coefficients that a job measures; ``None``: it measures none."""
    if job.words[0] != "measure":
        return None
    return parse_numbers(job.words[job.words.index("--coefficients") + 1], "coefficients", "expert-a=1")


def _task(words: Sequence[str], since: list[dict[str, Any]], measured: list[Point]) -> Task | None:
    """What a map or a measurement does, from the points and the log since it began; of a terminal's, nobody knows when
    it began."""
    done = {str(e.get("name")) for e in since if e["event"] == "phase"}
    if words[:1] == ("measure",):
        return Task(f"measuring a policy on {'test' if 'measure on validation' in done else 'validation'}")
    if words[:1] != ("map",):
        return None
    if "fit the map" in done:
        return Task(f"the map: measuring its front on test, {sum(p.split == 'test' for p in measured)} policies done")
    if "measure soups" in done:
        return Task("the map: fitting it")
    soups = sum(p.split == "validation" and SOUP.fullmatch(p.id) is not None for p in measured)
    if "--root" not in words:  # a terminal's, whose options nobody knows
        return Task(f"the map: {soups} soups", soups)
    asked = int(words[words.index("--evaluations") + 1]) if "--evaluations" in words else SOUPS
    return Task(f"the map: {soups} of {asked} soups", soups, asked)


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
    return max(map(_written, [folder, *folder.rglob("*")]))


def _written(path: Path) -> float:
    """When a file was written last, seconds since 1970; 0 where there is none, such as a temporary name by now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
