"""Measured points: one sealed JSON file per point and split, in the run's ``points/``."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pareto.errors import ParetoError
from pareto.records import SCHEMA, Point
from pareto.store.files import fingerprint, read_json, write_json
from pareto.store.run import Run

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+-]*")


def save_point(run: Run, point: Point) -> None:
    """Write or replace the point's file for its split, in one step.

    Raises:
        ParetoError: when the id cannot be a file's name, or on a full disk.
    """
    if not _ID.fullmatch(point.id):
        raise ParetoError(f"point id {point.id!r}: must be letters, digits and _ . , = + -, not starting with a mark")
    body = asdict(point)
    path = run.points / f"{point.id}.{point.split}.json"
    write_json(path, {"schema": SCHEMA, "seal": fingerprint(body), "point": body})


def load_points(run: Run) -> list[Point]:
    """The run's whole points, sorted by id, then split; missing numbers are NaN.

    Damaged files are left out: ``damaged_points`` names them, so that a sweep can measure them again.
    """
    read = (_read(path) for path in run.points.glob("*.json"))
    return sorted((p for p in read if p is not None), key=lambda p: (p.id, p.split))


def damaged_points(run: Run) -> list[Path]:
    """Files in ``points/`` whose content does not agree with their seal, sorted."""
    return sorted(path for path in run.points.glob("*.json") if _read(path) is None)


def _read(path: Path) -> Point | None:
    """The point in a file; ``None`` when the file is damaged."""
    try:
        stored = read_json(path)
        body = stored["point"]
        if stored["seal"] != fingerprint(body):
            return None
        numbers = {name: _numbers(body[name]) for name in ("mean", "se", "gold")}
        point = Point(**body | numbers | {"kl": _number(body["kl"])})
    except (ParetoError, KeyError, TypeError, ValueError):
        return None
    return point if path.name == f"{point.id}.{point.split}.json" else None


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
