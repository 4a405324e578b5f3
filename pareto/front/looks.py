"""What the pictures of a front share: colours, shapes, panels and the values to draw; no drawing here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PALETTE = ("#3A41BE", "#2D9E92", "#E66B06", "#99045F", "#805D09", "#806BBB")
"""One colour per objective, in priority order; safe under protan, deutan and tritan vision."""
INK = "#1B1D22"
MUTED = "#5F636B"
GRID = "#ECEBE8"
PALE = "#C9C9C6"
"""Dominated points."""
KINDS = ("base", "expert", "trained", "soup")
LEGEND = {"base": INK, "expert": PALETTE[0], "trained": INK, "soup": PALETTE[5]}
"""Colours of the kinds; an expert has the colour of its own objective."""
COLUMNS = 3
"""Panels in a row."""
NOTE = "Dots are means over prompts, bars ±1 standard error. Pale: dominated. Dotted: the base policy."
PATHS = "Value paths: each objective from its worst to its best mean, one line per policy"


@dataclass(frozen=True)
class Mark:
    """One point, ready to be drawn."""

    name: str
    """Label: the objective's name for an expert, else the point's id."""
    kind: str
    mean: Floats
    """(m,), NaN where there is no score."""
    se: Floats
    """(m,), NaN where it is unknown."""
    on_front: bool
    colour: str
    """Of the point on the front; dominated points are drawn pale."""
    source: Mapping[str, Any]
    """The point as given."""


def marks(points: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> list[Mark]:
    """The points in drawing order: dominated ones first, so that the front lies on top.

    Args:
        points: dicts in the shape of ``pareto front --json``.
        objectives: names in priority order, (m,).
    """
    made = []
    for point in points:
        kind = point["kind"]
        name, colour = str(point["id"]), LEGEND[kind]
        if kind == "expert":
            name = max(objectives, key=lambda o: point["weights"].get(o, 0.0))
            colour = PALETTE[list(objectives).index(name) % len(PALETTE)]
        mean, se = (np.array([_number(point[key].get(o)) for o in objectives]) for key in ("mean", "se"))
        made.append(Mark(name, kind, mean, se, bool(point["on_front"]), colour, point))
    return sorted(made, key=lambda mark: (mark.on_front, mark.kind == "base", mark.kind == "expert"))


def pairs(m: int) -> list[tuple[int, int]]:
    """The panels: every pair of m objectives as (x, y), m(m − 1)/2 of them."""
    return list(itertools.combinations(range(m), 2))


def rows(m: int) -> int:
    """Rows of panels, value paths not counted."""
    return math.ceil(len(pairs(m)) / COLUMNS)


def direction(objective: str, sign: float) -> str:
    """Axis title whose arrow points the better way: ``honest → better`` or ``better ← cost``."""
    return f"{objective}  → better" if sign > 0 else f"better ←  {objective}"


def spread(drawn: Sequence[Mark], signs: Sequence[float]) -> tuple[Floats, Floats]:
    """Worst and best mean of each objective, two of (m,); an objective without spread gets one of ±½."""
    table = np.array([mark.mean for mark in drawn])
    low = np.array([np.nanmin(c) if np.isfinite(c).any() else 0.0 for c in table.T])
    high = np.array([np.nanmax(c) if np.isfinite(c).any() else 0.0 for c in table.T])
    flat = low == high
    low, high = np.where(flat, low - 0.5, low), np.where(flat, high + 0.5, high)
    up = np.asarray(signs) > 0
    return np.where(up, low, high), np.where(up, high, low)


def number(value: float) -> str:
    """Three significant digits with a true minus sign."""
    return f"{value:.3g}".replace("-", "−")


def label_sides(drawn: Sequence[Mark], x: int, y: int) -> dict[str, tuple[int, int]]:
    """On which side of its mark each expert's label collides least, in the panel of objectives x and y.

    Returns:
        Expert's name → (horizontal, vertical), each +1 or −1, to be read as right or left, above or below.
    """
    table = np.array([[mark.mean[x], mark.mean[y]] for mark in drawn])
    low = np.nan_to_num(np.nanmin(table, axis=0, initial=np.inf))
    place = (table - low) / np.maximum(np.nan_to_num(np.nanmax(table, axis=0, initial=-np.inf)) - low, 1e-12)
    taken = [spot for spot in place if np.isfinite(spot).all()]
    sides = {}
    for mark, spot in zip(drawn, place, strict=True):
        if mark.kind != "expert" or not np.isfinite(spot).all():
            continue
        # Half size of a label of this length, in shares of the panel.
        half = np.array([0.011 * len(mark.name) + 0.015, 0.045])
        away = half + np.array([0.02, 0.01])
        centres = {(h, v): spot + np.array([h, v]) * away for v in (1, -1) for h in (1, -1)}
        best = min(centres, key=lambda side: _crowding(centres[side], half, taken))
        sides[mark.name] = best
        taken += [centres[best] + np.array([share * half[0], 0]) for share in (-1, -0.5, 0, 0.5, 1)]
    return sides


def headline(drawn: Sequence[Mark]) -> str:
    """The picture's title when none is given."""
    return f"{len(drawn)} policies, {sum(mark.on_front for mark in drawn)} of them on the front"


def _crowding(centre: Floats, half: Floats, taken: list[Floats]) -> float:
    """How much a label here would stick out of the panel, and on how many places already taken it would lie."""
    outside = np.maximum(np.abs(centre - 0.5) - 0.62 + half, 0).sum()
    return float(20 * outside + sum((np.abs(spot - centre) < half + 0.02).all() for spot in taken))


def _number(value: float | None) -> float:
    """JSON's null is a missing number."""
    return math.nan if value is None else float(value)
