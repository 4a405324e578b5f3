"""The simulation as a picture: what is found by when, and where it stops to scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.bench.panels import draw_panels
from pareto.front.looks import MUTED, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def scale_picture(result: Mapping[str, Any], path: Path) -> None:
    """Draw hypervolume against time by driver, and efficiency against workers, as a PNG file."""

    def found(axes: Axes) -> None:
        for colour, (name, curve) in zip(PALETTE, result["curves"].items(), strict=False):
            axes.plot([60 * hours for hours in curve["hours"]], curve["hypervolume"], color=colour, label=name)

    def scaled(axes: Axes) -> None:
        workers = [row["workers"] for row in result["workers"]]
        lines = {
            "slots at useful work": "efficiency",
            "idle before the tail": "idle_before_tail",
            "leading process busy": "leader_busy",
        }
        for colour, (label, name) in zip(PALETTE, lines.items(), strict=False):
            axes.plot(
                workers, [row[name] for row in result["workers"]], color=colour, label=label, marker="o", markersize=3
            )
        axes.axvline(
            result["figures"]["storage_limit_workers"], color=MUTED, linestyle=":", label="limit of the storage"
        )
        axes.set_xscale("log", base=2)
        axes.set_xticks(workers, [str(n) for n in workers])

    slots = round(len(result["curves"]["lattice"]["hours"]) * 8)
    draw_panels(
        [
            (f"What {slots} trials find by when", "minutes", "share of the front's hypervolume", found),
            ("More workers", "workers", "share", scaled),
        ],
        path,
    )
