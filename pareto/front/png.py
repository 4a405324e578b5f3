"""The front as a PNG, drawn by matplotlib: no browser and no global figure state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.front import looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHAPES = {"base": "X", "expert": "*", "trained": "o", "soup": "D"}
_SIZES = {"base": 9, "expert": 14, "trained": 7, "soup": 6.5}
_PLAIN: dict[str, Any] = {"parse_math": False}
"""Names are text: a dollar sign starts no formula."""


def save_png(
    points: Sequence[Mapping[str, Any]],
    path: str | Path,
    objectives: Sequence[str] | None = None,
    *,
    signs: Sequence[float] | None = None,
    title: str | None = None,
) -> None:
    """Draw the front into a PNG file 1800 pixels wide, meant to be read at 1200.

    Args:
        points: dicts in the shape of ``pareto front --json``, at least one.
        path: the file to write.
        objectives: names in priority order, (m,), m ≥ 2; default: the order of the first point's means.
        signs: +1 where an objective is maximised, −1 where it is minimised, (m,); default: all maximised.
        title: the picture's title; default: how many policies, how many on the front.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(objectives or points[0]["mean"])
    signs = signs or [1.0] * len(names)
    drawn = looks.marks(points, names)
    pairs, rows = looks.pairs(len(names)), looks.rows(len(names))
    columns = min(looks.COLUMNS, len(pairs))

    height = 1.1 + 3.5 * rows + 3.4
    figure = Figure(figsize=(12, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    # Margins in inches over the height, so that they are the same for any number of rows.
    grid = figure.add_gridspec(
        rows + 1,
        columns,
        left=0.075,
        right=0.975,
        top=1 - 1.05 / height,
        bottom=0.55 / height,
        hspace=0.36,
        wspace=0.3,
    )
    figure.text(
        0.03, 1 - 0.42 / height, title or looks.headline(drawn), size=17, color=looks.INK, weight="bold", **_PLAIN
    )
    figure.text(0.03, 1 - 0.72 / height, looks.NOTE, size=10.5, color=looks.MUTED)
    for i, (x, y) in enumerate(pairs):
        _panel(figure.add_subplot(grid[i // columns, i % columns]), drawn, x, y, names, signs)
    _paths(figure.add_subplot(grid[rows, :]), drawn, names, signs)
    _legend(figure, drawn, 1 - 0.45 / height)
    figure.savefig(path, format="png")


def _panel(axes: Axes, drawn: list[looks.Mark], x: int, y: int, names: Sequence[str], signs: Sequence[float]) -> None:
    """One pair of objectives as a scatter with error bars."""
    _clean(axes)
    axes.margins(0.13)
    for z, mark in enumerate(drawn):
        colour = mark.colour if mark.on_front or mark.kind == "base" else looks.PALE
        if mark.kind == "base":
            axes.axvline(mark.mean[x], color=looks.MUTED, lw=0.9, ls=(0, (1, 2.5)), zorder=1)
            axes.axhline(mark.mean[y], color=looks.MUTED, lw=0.9, ls=(0, (1, 2.5)), zorder=1)
        axes.errorbar(
            mark.mean[x],
            mark.mean[y],
            xerr=mark.se[x],
            yerr=mark.se[y],
            fmt=_SHAPES[mark.kind],
            ms=_SIZES[mark.kind],
            color=colour,
            mec="white",
            mew=0.8,
            elinewidth=0.9,
            ecolor=(colour, 0.45 if mark.on_front else 0.6),
            zorder=3 + z,
        )
    sides = looks.label_sides(drawn, x, y)
    for mark in (mark for mark in drawn if mark.kind == "expert" and mark.name in sides):
        right, above = sides[mark.name]
        axes.annotate(
            mark.name,
            (mark.mean[x], mark.mean[y]),
            (7 * right, 5 * above),
            textcoords="offset points",
            ha="left" if right > 0 else "right",
            va="bottom" if above > 0 else "top",
            size=9.5,
            color=looks.INK,
            zorder=200,
            **_PLAIN,
        )
    axes.set_xlabel(looks.direction(names[x], signs[x]), size=11, color=looks.INK, **_PLAIN)
    axes.set_ylabel(looks.direction(names[y], signs[y]), size=11, color=looks.INK, **_PLAIN)


def _paths(axes: Axes, drawn: list[looks.Mark], names: Sequence[str], signs: Sequence[float]) -> None:
    """All objectives at once, each from its worst to its best."""
    _clean(axes)
    worst, best = looks.spread(drawn, signs)
    place = range(len(names))
    for k in place:
        axes.axvline(k, color=looks.PALE, lw=1, zorder=1)
        axes.text(k + 0.012, 1.05, looks.number(best[k]), size=9.5, color=looks.MUTED, ha="left", va="center")
        axes.text(k + 0.012, -0.06, looks.number(worst[k]), size=9.5, color=looks.MUTED, ha="left", va="center")
    for z, mark in enumerate(drawn):
        base, lit = mark.kind == "base", mark.on_front or mark.kind == "base"
        axes.plot(
            place,
            (mark.mean - worst) / (best - worst),
            color=mark.colour if lit else looks.PALE,
            ls=(0, (1, 1.8)) if base else "-",
            lw=1.7 if lit else 1.1,
            alpha=0.9 if lit else 0.7,
            marker=_SHAPES[mark.kind],
            ms=_SIZES[mark.kind] * 0.8,
            mec="white",
            mew=0.7,
            zorder=3 + z,
        )
    axes.set_title(looks.PATHS, size=11, color=looks.INK, loc="left", pad=10)
    axes.set_xlim(-0.12, len(names) - 0.88)
    axes.set_ylim(-0.12, 1.12)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(list(place), names, size=11, color=looks.INK, **_PLAIN)
    axes.set_yticks([0, 1], ["worst", "best"], size=10, color=looks.MUTED)
    axes.tick_params(length=0)


def _legend(figure: Any, drawn: list[looks.Mark], top: float) -> None:
    """One legend for all panels, only of what is drawn."""
    from matplotlib.lines import Line2D

    present = {mark.kind for mark in drawn}
    entries = [(kind, looks.LEGEND[kind]) for kind in looks.KINDS if kind in present]
    handles = [
        Line2D([], [], ls="", marker=_SHAPES[kind], ms=_SIZES[kind], color=colour, mec="white", label=kind)
        for kind, colour in entries
    ]
    handles.append(Line2D([], [], ls="", marker="o", ms=7, color=looks.PALE, mec="white", label="dominated"))
    figure.legend(
        handles=handles,
        loc="center right",
        bbox_to_anchor=(0.98, top),
        ncols=len(handles),
        frameon=False,
        fontsize=10.5,
        labelcolor=looks.INK,
        handletextpad=0.2,
        columnspacing=1.4,
    )


def _clean(axes: Axes) -> None:
    """Only what is read: two quiet axes and a pale grid."""
    axes.set_facecolor("white")
    axes.grid(color=looks.GRID, lw=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(looks.PALE)
    axes.tick_params(colors=looks.MUTED, labelsize=9.5, length=3, color=looks.PALE)
    axes.locator_params(nbins=5)
