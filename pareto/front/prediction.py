"""Predicted against measured: one panel per objective, intervals as bars, the diagonal where both agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pareto.front import looks

NOTE = "Each dot is a soup that had no part in the prediction; bars are 90 % intervals. Pale: the interval misses."
_PLAIN: dict[str, Any] = {"parse_math": False}
"""Names are text: a dollar sign starts no formula."""


def save_prediction(
    check: Mapping[str, Any], path: str | Path, objectives: Sequence[str], *, title: str | None = None
) -> None:
    """Draw a map's held-out check into a PNG file 1800 pixels wide.

    Args:
        check: ``held_out`` of a map's report: ``predicted``, ``low``, ``high``, ``measured``, each (n, m) in the
            objectives' own units, and ``coverage`` by objective and of ``all``.
        path: the file to write.
        objectives: names in priority order, (m,).
        title: the picture's title; default: how many of the intervals cover.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(looks.COLUMNS, len(objectives))
    rows = math.ceil(len(objectives) / columns)
    height = 1.6 + 11 / columns * rows
    figure = Figure(figsize=(12, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.07,
        right=0.98,
        top=1 - 1.25 / height,
        bottom=0.7 / height,
        wspace=0.25,
        hspace=0.3,
    )
    covered = f"{check['coverage']['all']:.0%} of the 90 % intervals hold what was measured"
    heading = f"{title} · {covered}" if title else covered
    figure.text(0.03, 1 - 0.42 / height, heading, size=17, color=looks.INK, weight="bold", **_PLAIN)
    figure.text(0.03, 1 - 0.72 / height, NOTE, size=10.5, color=looks.MUTED)
    table = {key: np.array(check[key], dtype=float) for key in ("predicted", "low", "high", "measured")}
    for k, name in enumerate(objectives):
        axes = figure.add_subplot(grid[k // columns, k % columns])
        share = check["coverage"][name]
        _panel(axes, {key: values[:, k] for key, values in table.items()}, name, share, k)
    figure.savefig(path, format="png")


def _panel(axes: Any, table: Mapping[str, Any], name: str, share: float, k: int) -> None:
    """One objective, both axes on one scale."""
    predicted, measured = table["predicted"], table["measured"]
    ends = np.concatenate([table["low"], table["high"], measured])
    margin = 0.05 * (np.ptp(ends) or 1.0)
    limits = (ends.min() - margin, ends.max() + margin)
    axes.set_facecolor("white")
    axes.grid(color=looks.GRID, lw=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(looks.PALE)
    axes.tick_params(colors=looks.MUTED, labelsize=9.5, length=3, color=looks.PALE)
    axes.plot(limits, limits, color=looks.MUTED, lw=0.9, ls=(0, (1, 2.5)), zorder=1)
    inside = (table["low"] <= measured) & (measured <= table["high"])
    for held, colour in ((inside, looks.PALETTE[k % len(looks.PALETTE)]), (~inside, looks.PALE)):
        axes.errorbar(
            predicted[held],
            measured[held],
            xerr=np.stack([(predicted - table["low"])[held], (table["high"] - predicted)[held]]),
            fmt="o",
            ms=7,
            color=colour,
            mec="white",
            mew=0.8,
            elinewidth=0.9,
            ecolor=(colour, 0.45),
            zorder=3,
        )
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_box_aspect(1)
    axes.locator_params(nbins=5)
    axes.set_title(f"{name} · {share:.0%}", size=11, color=looks.INK, loc="left", **_PLAIN)
    axes.set_xlabel("predicted", size=11, color=looks.INK)
    axes.set_ylabel("measured", size=11, color=looks.INK)
