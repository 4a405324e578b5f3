"""How much a sweep's front dominates, policy after policy."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.charts.scene import Scene

if TYPE_CHECKING:
    import plotly.graph_objects as go


def volume(
    scene: Scene,
    steps: Sequence[tuple[str, float]],
    base: float,
    test: Mapping[str, float] | None = None,
    height: int = 280,
) -> go.Figure:
    """Hypervolume over the policies as they came, on validation, beside the final value on test.

    Args:
        scene: for colours.
        steps: policy's id and the hypervolume with it, in the order measured.
        base: hypervolume of the base policy alone.
        test: ``value``, ``low``, ``high`` of the front on test; ``None`` before it is measured.
        height: in pixels.
    """
    import plotly.graph_objects as go

    made, look = go.Figure(), scene.look
    count = list(range(1, len(steps) + 1))
    made.add_scatter(
        x=count,
        y=[v for _, v in steps],
        mode="lines+markers",
        line={"color": look.colour(0), "width": 2, "shape": "hv"},
        marker={"size": 5, "color": look.colour(0)},
        customdata=[name for name, _ in steps],
        hovertext=[f"{html.escape(name)}<br>hypervolume {v:.3g}" for name, v in steps],
        hoverinfo="text",
    )
    made.add_hline(y=base, line={"color": look.muted, "width": 1, "dash": "dot"})
    made.add_annotation(
        x=1, xref="paper", y=base, text="base", showarrow=False, xanchor="right", yanchor="bottom",
        font={"size": 12, "color": look.muted},
    )  # fmt: skip
    if test is not None:
        end = len(steps) + 1
        made.add_scatter(
            x=[end],
            y=[test["value"]],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [test["high"] - test["value"]],
                "arrayminus": [test["value"] - test["low"]],
                "color": look.text,
                "thickness": 1.4,
                "width": 0,
            },
            mode="markers",
            marker={"symbol": "diamond", "size": 11, "color": look.text},
            hovertext=[f"on test<br>{test['value']:.3g}, 95 % {test['low']:.3g}–{test['high']:.3g}"],
            hoverinfo="text",
        )
        made.add_annotation(
            x=end, y=test["high"], text="test", showarrow=False, yanchor="bottom", font={"size": 12, "color": look.text}
        )
    axis: dict[str, Any] = {"title": scene.title("policies measured"), "rangemode": "tozero"}
    made.update_layout(
        scene.layout(
            height, xaxis=scene.axis(**axis), yaxis=scene.axis(title=scene.title("hypervolume"), rangemode="tozero")
        )
    )
    return made
