"""Panels side by side as one PNG file: what the benches draw their results with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pareto.front.looks import GRID, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panel = tuple[str, str, str, Callable[["Axes"], None]]
"""Title, names of the axes, and what draws it."""


def draw_panels(panels: Sequence[Panel], path: Path) -> None:
    """Draw them, two in a row, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(2, len(panels)) or 1
    rows = -(-len(panels) // columns) or 1
    figure = Figure(figsize=(5.4 * columns, 3.8 * rows), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    for axes in figure.subplots(rows, columns, squeeze=False).flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, x, y, draw) in zip(figure.axes, panels, strict=False):
        draw(axes)
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.set_xlabel(x, fontsize=9, color=MUTED)
        axes.set_ylabel(y, fontsize=9, color=MUTED)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GRID)
        axes.tick_params(length=0, labelsize=8, labelcolor=MUTED)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    figure.savefig(path)
