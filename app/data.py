"""What the pages read of a run, cached until the run's files change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from pareto.choice.candidates import Candidates
from pareto.choice.levels import parse_levels
from pareto.choice.priorities import Verdict, judge
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.frontier import frontier, point_rows, read_frame
from pareto.soups.frontier_map import FILE
from pareto.soups.outlook import Outlook
from pareto.store.run import Run

Row = dict[str, Any]
"""A policy in the shape of ``points`` in ``pareto front --json``."""


@dataclass(frozen=True)
class Data:
    """A run as far as it has come."""

    run: Run
    names: tuple[str, ...]
    """Objectives in order of priority, (m,)."""
    frame: Frame | None
    """``None`` before the base policy is measured."""
    document: dict[str, Any] | None
    """``pareto front --json``; ``None`` before the front is measured on test."""
    test: list[Row]
    """What is measured on test: the base, the experts, what was selected."""
    validation: list[Row]
    """Every policy of the run, as measured on validation; ``on_front``: nothing there dominates it."""
    candidates: Candidates | None
    """The policies that can be chosen; ``None`` where there is none yet."""
    outlook: Outlook | None
    """Predictions; ``None`` where too little is measured, or for what ``trouble`` says."""
    trouble: str = ""
    """Why the run's map does not predict; empty where it does, and where there is none."""

    def row(self, point: str) -> Row | None:
        """A policy by its id, on test where it is measured there."""
        return next((r for r in (*self.test, *self.validation) if r["id"] == point), None)


def stamp(run: Run) -> tuple[float, ...]:
    """Changes when a point is measured or the map is made anew."""
    watched = [run.points, run.path / FILE, run.path / "frame.json", run.path / "front.json"]
    return tuple(p.stat().st_mtime if p.exists() else 0.0 for p in watched)


def load(run: Run) -> Data:
    """The run's data, computed once for each state of its files and shared by all sessions."""
    return _load(str(run.path), stamp(run))


@st.cache_resource(show_spinner=False, max_entries=8)
def _load(path: str, when: tuple[float, ...]) -> Data:
    run = Run.open(path)
    names = run.recipe.names
    try:
        frame = read_frame(run)
    except ParetoError:
        return Data(run, names, None, None, [], [], None, None)
    try:
        document = frontier(run).document()
    except ParetoError:
        document = None
    try:
        candidates = Candidates.of(run)
    except ParetoError:
        candidates = None
    outlook, trouble = None, ""
    try:
        outlook = Outlook.of(run)
    except ParetoError as e:
        if (run.path / FILE).is_file():
            trouble = str(e)
    return Data(
        run,
        names,
        frame,
        document,
        [r for r in document["points"] if r["split"] == "test"] if document else point_rows(run, frame, "test"),
        point_rows(run, frame, "validation"),
        candidates,
        outlook,
        trouble,
    )


def verdict(data: Data, rules: str) -> Verdict:
    """What the priorities, written as in links, keep of a run's candidates."""
    return _verdict(str(data.run.path), stamp(data.run), rules)


@st.cache_resource(show_spinner=False, max_entries=64)
def _verdict(path: str, when: tuple[float, ...], rules: str) -> Verdict:
    data = _load(path, when)
    assert data.candidates is not None
    return judge(data.candidates, parse_levels(rules, data.names))


def runs(root: Path) -> list[str]:
    """Names of the runs, the latest first."""
    found = [p.parent for p in root.glob("*/run.json") if not p.parent.name.startswith(".")]
    return [p.name for p in sorted(found, key=lambda p: (-p.stat().st_mtime, p.name))]
