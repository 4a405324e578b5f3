"""Three at once: objectives as a cloud in space, or weights as a triangle. Second views; the plane is the first."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from app.charts.scene import Z95, Scene, groups
from pareto.front import looks as pictures

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHAPES = {"base": "x", "expert": "square", "trained": "circle", "soup": "diamond"}
"""The shapes that plotly knows in space."""


def cloud(scene: Scene, axes: Sequence[int], *, bars: bool = True, height: int = 520) -> go.Figure:
    """Three objectives in space, with 95 % bars of what is in colour.

    Args:
        scene: what is drawn.
        axes: indices of the three objectives.
        bars: whether intervals are drawn.
        height: in pixels.
    """
    import plotly.graph_objects as go

    made = go.Figure()
    sides = list(zip("xyz", axes, strict=True))
    for marks in groups(scene):
        state, kind = scene.state(marks[0]), marks[0].kind
        shape = SHAPES[kind] + ("-open" if state == "excluded" and kind != "base" else "")
        look = {"type": "data", "color": scene.colour(marks[0]), "thickness": 2, "width": 0}
        made.add_scatter3d(
            **{side: [mark.mean[k] for mark in marks] for side, k in sides},
            **{
                f"error_{side}": look | {"array": [Z95 * mark.se[k] for mark in marks]}
                for side, k in sides
                if bars and state == "lit"
            },
            mode="markers",
            marker={"symbol": shape, "size": 6 if state == "lit" else 4, "color": scene.colour(marks[0])},
            **scene.about(marks),
        )
    for mark, colour, shape in scene.rings():
        made.add_scatter3d(
            **{side: [mark.mean[k]] for side, k in sides}, mode="markers", hoverinfo="skip", showlegend=False,
            marker={"symbol": shape, "size": 16, "color": colour, "line": {"width": 3, "color": colour}},
        )  # fmt: skip
    wall = {"backgroundcolor": "rgba(0,0,0,0)", "showbackground": False}
    walls = {
        f"{side}axis": wall
        | {
            "title": {"text": html.escape(pictures.direction(scene.names[k], scene.signs[k])), "font": {"size": 12}},
            "gridcolor": scene.look.line,
            "linecolor": scene.look.line,
            "zerolinecolor": scene.look.line,
            "nticks": 5,
            "tickfont": {"size": 11, "color": scene.look.muted},
        }
        for side, k in sides
    }
    eye = {"x": 1.35, "y": 1.35, "z": 0.7}
    made.update_layout(
        scene.layout(
            height,
            scene={**walls, "aspectmode": "cube", "camera": {"eye": eye, "center": {"x": 0, "y": 0, "z": -0.12}}},
        )
    )
    return made


def triangle(scene: Scene, corners: Sequence[int], colour: int, height: int = 520) -> go.Figure:
    """How the policies are mixed, as shares among three objectives; the darker, the better in one objective.

    The shares are those of the weights, and of the experts' coefficients where no weights made a policy.

    Args:
        scene: what is drawn.
        corners: indices of the three objectives.
        colour: index of the objective that is shown by colour.
        height: in pixels.
    """
    import plotly.graph_objects as go

    made = go.Figure()
    placed = [(mark, found) for mark in scene.marks if (found := shares(mark.source, scene.names, corners))]
    values = np.array([mark.mean[colour] for mark, _ in placed])
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    ends = (scene.look.track, scene.look.colour(colour))
    scale = [[0, ends[0]], [1, ends[1]]] if scene.signs[colour] > 0 else [[0, ends[1]], [1, ends[0]]]
    title = html.escape(pictures.direction(scene.names[colour], scene.signs[colour]))
    for state in ("excluded", "pale", "lit"):
        for kind in pictures.KINDS:
            some = [(mark, s) for mark, s in placed if scene.state(mark) == state and mark.kind == kind]
            if not some:
                continue
            marks = [mark for mark, _ in some]
            made.add_scatterternary(
                **{side: [s[i] for _, s in some] for i, side in enumerate("abc")},
                mode="markers",
                cliponaxis=False,
                marker=scene.marker(marks[0])
                | {
                    "size": 17 if state == "lit" else 11,
                    "color": [mark.mean[colour] for mark in marks],
                    "coloraxis": "coloraxis",
                    "line": {"width": 1.2, "color": scene.look.text if state == "lit" else scene.look.pale},
                },
                unselected={"marker": {"opacity": 1}},
                **scene.about(marks),
            )
    at = {str(mark.source["id"]): s for mark, s in placed}
    for mark, ink, shape in scene.rings():
        if (s := at.get(str(mark.source["id"]))) is not None:
            ring = {"symbol": shape, "size": 28, "color": ink, "line": {"width": 2.4, "color": ink}}
            made.add_scatterternary(
                a=[s[0]],
                b=[s[1]],
                c=[s[2]],
                mode="markers",
                cliponaxis=False,
                marker=ring,
                hoverinfo="skip",
                showlegend=False,
            )
    # None at the corners, where those of two sides and a name would lie on each other.
    ticks = {"tickvals": [0.25, 0.5, 0.75], "tickfont": {"size": 11, "color": scene.look.muted}}
    side = {"gridcolor": scene.look.line, "linecolor": scene.look.pale, **ticks}
    names = [html.escape(scene.names[k]) for k in corners]
    bar = {
        "title": {"text": title, "side": "right", "font": {"size": 13}},
        "thickness": 10,
        "len": 0.8,
        "outlinewidth": 0,
        "nticks": 5,
    }
    made.update_layout(
        scene.layout(
            height,
            margin={"l": 40, "r": 20, "t": 40, "b": 40},
            ternary={
                "bgcolor": "rgba(0,0,0,0)",
                **{
                    f"{s}axis": side | {"title": {"text": n, "font": {"size": 13}}}
                    for s, n in zip("abc", names, strict=True)
                },
            },
            coloraxis={"colorscale": scale, "cmin": low, "cmax": high, "colorbar": bar},
        )
    )
    return made


def shares(row: Mapping[str, Any], names: Sequence[str], corners: Sequence[int]) -> list[float] | None:
    """How much of each of three objectives a policy is mixed for, summing to 1; ``None`` where it has none of them."""
    asked = row["weights"] or {name.removeprefix("expert-"): v for name, v in row["coefficients"].items()}
    parts = [max(asked.get(names[k], 0.0), 0.0) for k in corners]
    total = sum(parts)
    return [part / total for part in parts] if total > 0 else None
