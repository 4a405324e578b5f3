"""The comparison of methods as text and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pareto.front.looks import GRID, INK, MUTED, PALETTE

HEADER = ("method", "hypervolume by seed", "IGD+ ↓", "EUM ↑", "KL", "steps", "passes", "policies")


def methods_table(result: dict[str, Any]) -> str:
    """One line per method, best first, then the ratios with their intervals; Markdown."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
    lines += ["| " + " | ".join(_cells(rows)) + " |" for rows in _by_method(result)]
    lines += ["", f"{result['hardware']}; {result['date']}; seeds {', '.join(map(str, result['seeds']))}", ""]
    for name, value in result["figures"].items():
        interval = result["intervals"].get(name)
        lines.append(f"{name:32} {value:6.3f}" + (f"  ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""))
    return "\n".join(lines)


def methods_picture(result: dict[str, Any], path: Path) -> None:
    """Hypervolume against the optimiser steps spent, mean over seeds and every seed, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = _by_method(result)
    figure = Figure(figsize=(10, 0.62 * len(found) + 1.7), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, rows in enumerate(reversed(found)):
        values = [r["hypervolume"]["value"] for r in rows]
        ours, control = "(ours)" in rows[0]["method"], rows[0]["paper"] == "control"
        colour = PALETTE[0] if ours else (GRID if control else PALETTE[1])
        axes.barh(place, np.mean(values), height=0.62, color=colour, alpha=0.45)
        for k, r in enumerate(rows):
            y = place + 0.16 * (k - (len(rows) - 1) / 2)
            axes.plot([r["hypervolume"]["low"], r["hypervolume"]["high"]], [y, y], color=INK, linewidth=0.9)
            axes.plot(r["hypervolume"]["value"], y, "o", color=INK, markersize=3)
        steps, policies = (round(float(np.mean([r[name] for r in rows]))) for name in ("steps", "evaluated"))
        cost = f"{steps} steps, {policies} policies"
        axes.annotate(cost, (0, place), (6, 0), textcoords="offset points", va="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(found)), [_label(rows[0]) for rows in reversed(found)], fontsize=9)
    axes.set_xlabel("hypervolume on test prompts, base standard deviations cubed", fontsize=9, color=MUTED)
    axes.set_title(
        f"Hypervolume of the front, {len(result['seeds'])} seeds (bars: mean; lines: 95 % over prompts)",
        loc="left",
        fontsize=11,
        color=INK,
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    figure.savefig(path)


def _label(row: dict[str, Any]) -> str:
    return str(row["method"]) + (f"\n{row['passes']} forward passes a token" if row["passes"] > 1 else "")


def _by_method(result: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows of each method over the seeds, best mean hypervolume first."""
    keys = dict.fromkeys(row["key"] for row in result["rows"])
    found = [[row for row in result["rows"] if row["key"] == key] for key in keys]
    return sorted(found, key=lambda rows: -_mean(rows, "hypervolume"))


def _cells(rows: Sequence[dict[str, Any]]) -> list[str]:
    each = ", ".join(
        f"{r['hypervolume']['value']:.2f} ({r['hypervolume']['low']:.2f}–{r['hypervolume']['high']:.2f})" for r in rows
    )
    first = rows[0]
    return [
        first["method"],
        f"**{_mean(rows, 'hypervolume'):.2f}**: {each}",
        *(f"{_mean(rows, name):.2f}" for name in ("igd_plus", "expected_utility", "kl")),
        *(str(round(float(np.mean([r[name] for r in rows])))) for name in ("steps", "passes", "evaluated")),
    ]


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.mean([r[name]["value"] for r in rows]))
