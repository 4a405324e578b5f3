"""The measurements of reward models as a picture: over-optimisation, trust and labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pareto.bench.panels import Panel, draw_panels
from pareto.bench.rewards.bench import CHOSEN
from pareto.front.looks import MUTED, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BY = ("single", "mean", "min", "ensemble")
"""Who selects, of those that are drawn: the best single model, and five of its kind; DPO's by the recipe's way."""
GROUNDS = {
    "noisy": "a quarter of the labels wrong",
    "biased alike": "control, all annotators like length",
    CHOSEN: "weight decay chosen by cross-validation",
}


def rewards_picture(result: dict[str, Any], path: Path) -> None:
    """Draw what there is of the parts, as a PNG file."""
    draw_panels([*_over_optimisation(result), *_trust(result), *_labels(result)], path)


def _over_optimisation(result: dict[str, Any]) -> list[Panel]:
    panels: list[Panel] = []
    for who, labels in GROUNDS.items():
        for title, rows, step in (
            ("Best of n", _drawn(result, who), "n"),
            ("DPO", [r for r in result.get("dpo", {}).get("rows", []) if r["annotators"] == who], "turn"),
        ):
            if rows:
                draw = lambda axes, rows=rows, step=step: _curves(axes, rows, step)  # noqa: E731
                panels.append((f"{title}: {labels}", "KL to the base, nats", "base standard deviations", draw))
    return panels


def _drawn(result: dict[str, Any], who: str) -> list[dict[str, Any]]:
    """Best-of-n's rows of the best kind of model."""
    found = result.get("best-of", {})
    return [r for r in found.get(who, []) if r["head"] == found["best_single"]]


def _curves(axes: Axes, rows: Sequence[dict[str, Any]], step: str) -> None:
    """Gold, and dashed what the proxy promises, against KL; means over seeds."""
    names = [name for name in BY if any(r["selected_by"] == name for r in rows)]
    for name in names:
        of = [r for r in rows if r["selected_by"] == name]
        points = []
        for value in dict.fromkeys(r[step] for r in of):
            same = [r for r in of if r[step] == value]
            points.append([float(np.mean([r[key] for r in same])) for key in ("kl", "gold", "proxy")])
        kl, gold, proxy = np.array(points).T
        colour = PALETTE[BY.index(name)]
        axes.plot(kl, gold, color=colour, label=f"gold, {name}", marker="o", markersize=3)
        axes.plot(kl, proxy - proxy[0] + gold[0], color=colour, linestyle=":", linewidth=1)
    axes.plot([], [], color=MUTED, linestyle=":", label="what the proxy promises")


def _trust(result: dict[str, Any]) -> list[Panel]:
    found = result.get("trust")
    if not found:
        return []

    def draw(axes: Axes) -> None:
        for name, colour in (("in_distribution", PALETTE[0]), ("shifted", PALETTE[1])):
            kept = found[name]["kept"] or {}
            shares, label = [float(share) for share in kept], name.replace("_", " ")
            axes.plot(shares, list(kept.values()), color=colour, label=label, marker="o", markersize=3)
        axes.invert_xaxis()

    return [("Accuracy as the uncertain pairs are dropped", "share of the pairs that is kept", "accuracy", draw)]


def _labels(result: dict[str, Any]) -> list[Panel]:
    found = result.get("labels")
    if not found:
        return []

    def draw(axes: Axes) -> None:
        for colour, (way, of) in zip(PALETTE, found["accuracy"].items(), strict=False):
            values = np.array(of)
            axes.plot(found["budgets"], values.mean(axis=0), color=colour, label=way, marker="o", markersize=3)
            axes.fill_between(found["budgets"], values.min(axis=0), values.max(axis=0), color=colour, alpha=0.12)

    return [
        ("What labels buy, by how they are chosen", "labels (bands: lowest and highest seed)", "gold accuracy", draw)
    ]
