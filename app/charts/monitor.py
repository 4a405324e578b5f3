"""Pictures of served traffic in the explorer's looks; free of Streamlit."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.charts.rounds import dressed
from app.looks import Look, symbol
from app.markup.monitor import title
from pareto.traffic.alarms import Alarm
from pareto.traffic.frame import Frame
from pareto.traffic.usual import Spreads

if TYPE_CHECKING:
    import plotly.graph_objects as go

Floats = NDArray[np.float64]
POINTS = 40
"""In a curve; each is the median of as many requests."""
LEAST = 5
"""Requests in a point."""
SHOWN = 400
"""Points of a curve of evidence."""
FLOOR, ABOVE = -1.0, 4.0
"""log10 of the least evidence that is drawn, and how far above the threshold the drawing ends."""
DASHES = {"spread": "dash", "flagged": "dot"}


def evidence(alarms: Sequence[Alarm], names: Sequence[str], look: Look, height: int = 300) -> go.Figure:
    """Evidence after each request, with the threshold; what has raised an alarm is thick.

    Args:
        alarms: what is watched.
        names: objectives in order, for colours and shapes.
        look: the theme.
        height: in pixels.
    """
    import plotly.graph_objects as go

    made = go.Figure()
    limit = max((a.threshold for a in alarms), default=0.0)
    for alarm in sorted(alarms, key=lambda a: a.state == "raised"):
        if not len(alarm.times):
            continue
        shown = np.unique(np.linspace(0, len(alarm.times) - 1, SHOWN).astype(int))
        raised = alarm.state == "raised"
        dash = "dash" if alarm.name == "prompts change" else DASHES.get(alarm.name.partition(" ")[0], "solid")
        objective = alarm.name.partition(" ")[2]
        colour = look.colour(names.index(objective)) if objective in names else look.text
        made.add_scatter(
            x=_dates(alarm.times[shown]), y=np.clip(alarm.evidence[shown], FLOOR, limit + ABOVE), mode="lines",
            line={"color": colour if raised else look.pale, "width": 2.6 if raised else 1.4,
                  "dash": dash},
            name=html.escape(title(alarm.name)), showlegend=raised,
            hovertemplate=f"{html.escape(title(alarm.name))} 10^%{{y:.1f}}<extra></extra>",
        )  # fmt: skip
    made.add_hline(limit, line={"color": look.text, "width": 1, "dash": "dash"})
    made.add_annotation(
        text="alarm", x=0, xref="paper", y=limit, yshift=9, showarrow=False, font={"color": look.muted, "size": 12},
        xanchor="left",
    )  # fmt: skip
    made.update_yaxes(title_text="evidence, powers of ten", range=[FLOOR - 0.3, limit + ABOVE + 0.3])
    return _timed(made, look, height)


def spreads(frame: Frame, usual: Mapping[str, Spreads], names: Sequence[str], look: Look, height: int) -> go.Figure:
    """Spread among each ensemble's members over time; dotted: validation's median, dashed: where review begins.

    Args:
        frame: the requests.
        usual: objective → validation's spreads.
        names: objectives in order.
        look: the theme.
        height: in pixels.
    """
    import plotly.graph_objects as go

    made = go.Figure()
    for name in (n for n in names if n in frame.spreads):
        k = names.index(name)
        _curve(made, frame, frame.spreads[name], name, k, look)
        if name in usual:
            quantiles = usual[name].quantiles
            for value, dash in ((quantiles[len(quantiles) // 2], "dot"), (usual[name].threshold, "dash")):
                made.add_hline(value, line={"color": look.colour(k), "width": 1.2, "dash": dash}, layer="below")
    made.update_yaxes(title_text="spread, nats", rangemode="tozero")
    return _timed(made, look, height)


def surprises(frame: Frame, names: Sequence[str], look: Look, height: int) -> go.Figure:
    """Rewards minus what was predicted, in standard deviations of the objective's own, over time."""
    import plotly.graph_objects as go

    made = go.Figure()
    for k, name in enumerate(names):
        if name in frame.scores and name in frame.predicted:
            found = frame.scores[name] - frame.predicted[name]
            known = found[np.isfinite(found)]
            scale = float(known.std()) if len(known) else 0.0
            _curve(made, frame, found / (scale or 1.0), name, k, look, mean=True)
    made.add_hline(0, line={"color": look.muted, "width": 1, "dash": "dot"}, layer="below")
    made.update_yaxes(title_text="reward − predicted")
    return _timed(made, look, height)


def _curve(
    made: Any, frame: Frame, values: Floats, name: str, k: int, look: Look, *, mean: bool = False
) -> None:  # fmt: skip
    rows = np.flatnonzero(np.isfinite(values) & (frame.arm == "main"))
    size = max(LEAST, -(-len(rows) // POINTS))
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    middle = np.mean if mean else np.median
    made.add_scatter(
        x=_dates(np.array([frame.time[g].mean() for g in groups])), y=[float(middle(values[g])) for g in groups],
        mode="lines+markers", name=html.escape(name), line={"color": look.colour(k), "width": 1.8},
        marker={"size": 7, "color": look.colour(k), "symbol": symbol(k)},
        hovertemplate=f"{html.escape(name)} %{{y:.3g}}<extra></extra>",
    )  # fmt: skip


def _dates(times: Floats) -> list[datetime]:
    """In the time zone of this machine, as the page's words have them."""
    return [datetime.fromtimestamp(t) for t in times.tolist()]


def _timed(made: go.Figure, look: Look, height: int) -> go.Figure:
    axis = {"gridcolor": look.line, "linecolor": look.line, "zeroline": False, "nticks": 6}
    made.update_xaxes(**axis)
    made.update_yaxes(**axis)
    made.update_layout(height=height, showlegend=any(t.showlegend is not False for t in made.data), hovermode="closest")
    return dressed(made, look)
