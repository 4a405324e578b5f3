"""Value paths: all objectives side by side, each from its worst to its best, one line per policy."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from app.charts.scene import Scene
from pareto.front import looks as pictures
from pareto.front.looks import Mark

if TYPE_CHECKING:
    import plotly.graph_objects as go


def paths(scene: Scene, height: int = 430) -> go.Figure:
    """Parallel coordinates, drawn as lines so that a click on a mark selects its policy.

    The objectives keep the run's order. Grey unless it is an expert, chosen or pinned: the eye follows one line.

    Args:
        scene: what is drawn.
        height: in pixels.
    """
    import plotly.graph_objects as go

    made, names = go.Figure(), scene.names
    if not scene.marks:
        return made
    worst, best = pictures.spread(scene.marks, scene.signs)
    ringed = {str(mark.source["id"]): colour for mark, colour, _ in scene.rings()}
    # Chosen and pinned come last, on top.
    for mark in sorted(scene.marks, key=lambda mark: str(mark.source["id"]) in ringed):
        about = scene.about([mark] * len(names))
        made.add_scatter(
            x=list(range(len(names))),
            y=(mark.mean - worst) / (best - worst),
            mode="lines+markers",
            line=_line(scene, mark, ringed),
            marker=scene.marker(mark) | {"size": 12 if str(mark.source["id"]) in ringed else 7},
            opacity=1.0 if str(mark.source["id"]) in ringed or mark.kind in ("expert", "base") else 0.65,
            unselected={"marker": {"opacity": 1}},
            **about,
        )
    for k in range(len(names)):
        for number, level, side in ((best[k], 1, "bottom"), (worst[k], 0, "top")):
            made.add_annotation(
                x=k, y=level, text=pictures.number(number), showarrow=False, yanchor=side,
                yshift=8 if level else -8, font={"size": 12, "color": scene.look.muted},
            )  # fmt: skip
    ticks = [html.escape(name) for name in names]
    made.update_layout(
        scene.layout(
            height,
            xaxis=scene.axis(
                tickvals=list(range(len(names))), ticktext=ticks, range=[-0.25, len(names) - 0.75],
                gridcolor=scene.look.pale, tickfont={"size": 13, "color": scene.look.text}, showline=False,
            ),
            yaxis=scene.axis(
                tickvals=[0, 1], ticktext=["worst", "best"], range=[-0.13, 1.13], showgrid=False, showline=False,
            ),
        )
    )  # fmt: skip
    return made


def _line(scene: Scene, mark: Mark, ringed: dict[str, str]) -> dict[str, Any]:
    name = str(mark.source["id"])
    if name in ringed:
        return {"color": ringed[name], "width": 3.5 if name == scene.chosen else 2.5}
    if mark.kind == "base":
        return {"color": scene.look.muted, "width": 1.5, "dash": "dot"}
    if mark.kind == "expert" and scene.state(mark) == "lit":
        return {"color": scene.colour(mark), "width": 1.6}
    lit = scene.state(mark) == "lit" and np.isfinite(mark.mean).all()
    return {"color": scene.look.muted if lit else scene.look.pale, "width": 1.1}
