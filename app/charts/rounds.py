"""Pictures of a series of rounds in the explorer's looks; free of Streamlit.

Objectives keep their own colours; rounds go from pale to strong.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.charts.scene import FONT
from app.looks import DARK, Look, symbol
from app.round_records import Round, Within
from pareto.front import looks as pictures

if TYPE_CHECKING:
    import plotly.graph_objects as go

Draw = Callable[..., "go.Figure"]
Record = Mapping[str, Any]


def themed(draw: Draw, records: Sequence[Record], look: Look, names: Sequence[str] | None = None) -> go.Figure:
    """A picture of ``pareto.rounds.figures`` in the colours of the theme.

    Args:
        draw: one of its functions.
        records: as they are stored.
        look: the theme.
        names: objectives to draw, whose rounds then have the colours; ``None``: all, and these have them.
    """
    import plotly.graph_objects as go

    if names is not None:
        records = [{**r, "rewards": {n: r["rewards"][n] for n in names}} for r in records]
    colours = look.objectives if names is None else shades(len(records), look)
    text = str(draw(records, text=look.text, grid=look.line).to_json())
    # Marked first, so that no colour is put in the place of another's.
    for k, old in enumerate(pictures.PALETTE):
        text = text.replace(old, f"@{k}@")
    for k in range(len(pictures.PALETTE)):
        text = text.replace(f"@{k}@", colours[k % len(colours)])
    made = go.Figure(json.loads(text.replace(pictures.MUTED, look.muted)))
    made.for_each_trace(lambda t: t.update(marker_line_color=look.background), selector={"mode": "markers"})
    return dressed(made, look)


def shades(count: int, look: Look) -> list[str]:
    """One colour per round, the last the strongest; told apart by lightness, so under any colour vision."""
    from plotly.colors import convert_colors_to_same_type, sample_colorscale

    first, last = (0.5, 0.95) if look is DARK else (0.6, 0.05)
    places = [last if count == 1 else first + (last - first) * k / (count - 1) for k in range(count)]
    found, _ = convert_colors_to_same_type(sample_colorscale("Plasma", places), colortype="tuple")
    return ["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in found]


def volumes(rounds: Sequence[Round], look: Look, height: int = 300) -> go.Figure:
    """Hypervolume under gold by round, with its interval."""
    import plotly.graph_objects as go

    made = go.Figure()
    _curve(made, [r.round for r in rounds], [r.hypervolume for r in rounds], "hypervolume", look.text, "circle", 2.4)
    made.update_yaxes(title_text="hypervolume under gold", rangemode="tozero")
    return _by_round(made, rounds, look, height)


def gaps(rounds: Sequence[Round], names: Sequence[str], look: Look, height: int = 300) -> go.Figure:
    """Proxy gain minus gold gain by round: of every objective in its colour and shape, and their mean size."""
    import plotly.graph_objects as go

    made = go.Figure()
    for k, name in enumerate(names):
        values = [r.gap.by_objective.get(name) for r in rounds]
        if any(v is not None and v.value is not None for v in values):
            shift = 0.05 * (k - (len(names) - 1) / 2)  # bars must not hide each other
            at = [r.round + shift for r in rounds]
            _curve(made, at, values, html.escape(name), look.colour(k), symbol(k), 1.4)
    _curve(made, [r.round for r in rounds], [r.gap.mean for r in rounds], "mean size", look.text, "circle", 2.4)
    made.add_hline(0, line={"color": look.muted, "width": 1, "dash": "dot"}, layer="below")
    made.update_yaxes(title_text="proxy − gold")
    return _by_round(made, rounds, look, height)


def _curve(
    made: Any, x: Sequence[float], values: Sequence[Within | None], name: str, colour: str, shape: str, width: float
) -> None:
    known = [(a, v, v.value) for a, v in zip(x, values, strict=True) if v is not None and v.value is not None]
    made.add_scatter(
        x=[a for a, _, _ in known],
        y=[middle for _, _, middle in known],
        error_y={
            "type": "data",
            "array": [0.0 if v.high is None else v.high - middle for _, v, middle in known],
            "arrayminus": [0.0 if v.low is None else middle - v.low for _, v, middle in known],
            "color": colour,
            "thickness": 1.2,
            "width": 0,
        },
        mode="lines+markers",
        line={"color": colour, "width": width},
        marker={"size": 9, "color": colour, "symbol": shape},
        name=name,
        hovertemplate=f"{name} %{{y:.3g}}<extra></extra>",
    )


def _by_round(made: go.Figure, rounds: Sequence[Round], look: Look, height: int) -> go.Figure:
    numbers = [r.round for r in rounds]
    made.update_xaxes(title_text="round", tickvals=numbers, range=[numbers[0] - 0.5, numbers[-1] + 0.5])
    axis = {"gridcolor": look.line, "linecolor": look.line, "zeroline": False, "nticks": 6}
    made.update_xaxes(**axis)
    made.update_yaxes(**axis)
    made.update_layout(height=height, showlegend=len(made.data) > 1)
    return dressed(made, look)


def dressed(made: go.Figure, look: Look) -> go.Figure:
    """Fonts, margins and legend as all pictures of the explorer have them."""
    axis = {"tickfont": {"color": look.muted, "size": 12}, "title_font": {"color": look.text, "size": 13}}
    made.update_xaxes(automargin=True, **axis)
    made.update_yaxes(automargin=True, **axis)
    made.update_layout(
        font={"family": FONT, "size": 13, "color": look.text},
        margin={"l": 8, "r": 14, "t": 14, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        hoverlabel={"bgcolor": look.panel, "bordercolor": look.line, "font": {"color": look.text}, "align": "left"},
        uirevision="pareto",
    )
    return made
