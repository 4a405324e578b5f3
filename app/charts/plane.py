"""Two objectives against each other, with the uncertainty of every mean as bars or as an ellipse."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.charts.scene import Z95, Scene, groups
from pareto.front import looks as pictures
from pareto.front.looks import Mark

if TYPE_CHECKING:
    import plotly.graph_objects as go

Floats = NDArray[np.float64]

CHI95 = 5.991465
"""95 % quantile of χ² with two degrees of freedom."""


def plane(
    scene: Scene,
    x: int,
    y: int,
    *,
    covariances: Mapping[str, Floats] | None = None,
    rival: Sequence[Mapping[str, Any]] = (),
    limits: Sequence[tuple[int, float]] = (),
    height: int = 430,
) -> go.Figure:
    """A slice of the front.

    Args:
        scene: what is drawn.
        x: index of the objective to the right.
        y: index of the objective upwards.
        covariances: id → covariance of the means, (m, m), own units, to draw 95 % ellipses; without them, 95 % bars.
        rival: the front of another run, drawn as hollow triangles.
        limits: thresholds of the priorities: index of the objective, value.
        height: in pixels.

    Returns:
        The figure; ``customdata`` of every mark is its policy's id.
    """
    import plotly.graph_objects as go

    made = go.Figure()
    if rival:
        _rival(made, scene, rival, x, y)
    if covariances is not None:
        _ellipses(made, scene, covariances, x, y)
    for marks in groups(scene):
        made.add_scatter(
            x=[mark.mean[x] for mark in marks],
            y=[mark.mean[y] for mark in marks],
            mode="markers",
            marker=scene.marker(marks[0]),
            # What a selection leaves out must not look dominated.
            unselected={"marker": {"opacity": 1}},
            **({} if covariances is not None else _bars(scene, marks, x, y)),
            **scene.about(marks),
        )
    _labels(made, scene, x, y)
    _limits(made, scene, limits, x, y)
    for mark in scene.marks:
        if mark.kind == "base":
            line = {"color": scene.look.muted, "width": 1, "dash": "dot"}
            made.add_vline(x=mark.mean[x], line=line, layer="below")
            made.add_hline(y=mark.mean[y], line=line, layer="below")
    for mark, colour, shape in scene.rings():
        ring = {"symbol": shape, "size": 23, "color": colour, "line": {"width": 2.4, "color": colour}}
        at = {"x": [mark.mean[x]], "y": [mark.mean[y]]}
        made.add_scatter(**at, mode="markers", marker=ring, hoverinfo="skip", showlegend=False)
    titles = [scene.title(pictures.direction(scene.names[k], scene.signs[k])) for k in (x, y)]
    made.update_layout(
        scene.layout(
            height,
            xaxis=scene.axis(title=titles[0]),
            yaxis=scene.axis(title=titles[1]),
            newselection={"line": {"color": scene.look.muted, "width": 1, "dash": "dot"}},
        )
    )
    return made


def ellipse(centre: tuple[float, float], covariance: Floats, turns: int = 40) -> Floats:
    """Outline of the 95 % confidence ellipse of a mean.

    Args:
        centre: the mean.
        covariance: of the mean, (2, 2).
        turns: number of corners.

    Returns:
        (turns + 1, 2), closed.
    """
    values, axes = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, turns + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(np.array(centre) + circle * np.sqrt(CHI95 * np.maximum(values, 0.0)) @ axes.T)


def _bars(scene: Scene, marks: list[Mark], x: int, y: int) -> dict[str, Any]:
    """95 % intervals; those of what is not in colour are as faint as the grid."""
    colour = scene.colour(marks[0]) if scene.state(marks[0]) == "lit" else scene.look.line
    look = {"type": "data", "color": colour, "thickness": 1, "width": 0}
    return {
        name: look | {"array": [Z95 * mark.se[k] for mark in marks]} for name, k in (("error_x", x), ("error_y", y))
    }


def _ellipses(made: Any, scene: Scene, covariances: Mapping[str, Floats], x: int, y: int) -> None:
    """Of what is in colour; those of dominated policies would hide everything."""
    at = np.ix_([x, y], [x, y])
    ringed = {str(mark.source["id"]) for mark, _, _ in scene.rings()}
    for mark in scene.marks:
        name = str(mark.source["id"])
        if name not in covariances or not (scene.state(mark) == "lit" or name in ringed):
            continue
        spread = covariances[name][at]
        if not (np.isfinite(spread).all() and np.isfinite([mark.mean[x], mark.mean[y]]).all()):
            continue
        outline = ellipse((mark.mean[x], mark.mean[y]), spread)
        made.add_scatter(
            x=outline[:, 0], y=outline[:, 1], mode="lines", fill="toself", opacity=0.28, hoverinfo="skip",
            showlegend=False, line={"color": scene.colour(mark), "width": 1}, fillcolor=scene.colour(mark) + "33",
        )  # fmt: skip


def _labels(made: Any, scene: Scene, x: int, y: int) -> None:
    """The experts' names where they collide least."""
    experts = [mark for mark in scene.marks if mark.kind == "expert" and np.isfinite(mark.mean[[x, y]]).all()]
    sides = pictures.label_sides(scene.marks, x, y)
    for mark in experts:
        right, above = sides[mark.name]
        made.add_annotation(
            x=mark.mean[x], y=mark.mean[y], text=html.escape(mark.name), showarrow=False,
            xanchor="left" if right > 0 else "right", yanchor="bottom" if above > 0 else "top",
            xshift=8 * right, yshift=6 * above, font={"size": 12, "color": scene.look.text},
            bgcolor=scene.look.background + "d0", borderpad=1,  # bars and lines run under it
        )  # fmt: skip


def _limits(made: Any, scene: Scene, limits: Sequence[tuple[int, float]], x: int, y: int) -> None:
    """Thresholds as lines in their objective's colour."""
    for k, value in limits:
        line = {"color": scene.look.colour(k), "width": 1.6}
        side = "≥" if scene.signs[k] > 0 else "≤"
        text = {"text": f"{side} {pictures.number(value)}", "font": {"size": 12, "color": scene.look.text}}
        if k == x:
            made.add_vline(x=value, line=line, layer="below", annotation=text, annotation_position="top left")
        elif k == y:
            made.add_hline(y=value, line=line, layer="below", annotation=text, annotation_position="bottom right")


def _rival(made: Any, scene: Scene, rival: Sequence[Mapping[str, Any]], x: int, y: int) -> None:
    marks = [mark for mark in pictures.marks(rival, scene.names) if mark.on_front]
    colour = scene.look.muted
    made.add_scatter(
        x=[mark.mean[x] for mark in marks],
        y=[mark.mean[y] for mark in marks],
        mode="markers",
        marker={"symbol": "triangle-up-open", "size": 11, "color": colour, "line": {"width": 1.6, "color": colour}},
        hovertext=[f"of the other run<br>{scene.hover(mark)}" for mark in marks],
        hoverinfo="text",
        showlegend=False,
    )
