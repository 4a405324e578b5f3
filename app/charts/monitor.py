"""Pictures of served traffic in the explorer's looks; free of Streamlit."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from app.charts.rounds import dressed
from app.looks import Look, symbol
from app.markup.monitor import title
from pareto.traffic.alarms import Alarm
from pareto.traffic.frame import Frame
from pareto.traffic.usual import Spreads

if TYPE_CHECKING:
    import plotly.graph_objects as go

Floats = NDArray[np.float64]
POINTS = 20
"""Most in a curve; all of as many requests."""
LEAST = 5
"""Requests in a point, where there are so many."""
SHOWN = 400
"""Points of a curve of evidence."""
LINE = 20
"""Pixels of a name in a legend."""
FLOOR, ABOVE = -1.0, 2.0
"""log10 of the least evidence that is drawn, and how far above the threshold the drawing ends."""
DASHES = {"spread": "dash", "flagged": "dot"}


def evidence(alarms: Sequence[Alarm], names: Sequence[str], look: Look, height: int = 300) -> go.Figure:
    """Evidence after each request, with the threshold; what has raised an alarm is thick.

    Args:
        alarms: what is watched.
        names: objectives in order, for colours and shapes.
        look: the theme.
        height: in pixels, without the names of what is raised.
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
            hovertemplate=f"{html.escape(title(alarm.name))}: 10^%{{y:.1f}}, %{{x|%d %B %H:%M}}<extra></extra>",
        )  # fmt: skip
    made.add_hline(limit, line={"color": look.text, "width": 1, "dash": "dash"})
    made.add_annotation(
        text="alarm", x=0, xref="paper", y=limit, yshift=9, showarrow=False, font={"color": look.muted, "size": 12},
        xanchor="left",
    )  # fmt: skip
    made.update_yaxes(
        title_text="evidence", range=[FLOOR - 0.3, limit + ABOVE + 0.3], dtick=2, tickprefix="10<sup>",
        ticksuffix="</sup>",
    )  # fmt: skip
    # The names of what is raised stand one beneath the other.
    return _timed(made, look, height + LINE * sum(a.state == "raised" for a in alarms))


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
    top = 0.0
    for name in (n for n in names if n in frame.spreads):
        k = names.index(name)
        top = max(top, _curve(made, frame, frame.spreads[name], name, k, look))
        if name in usual:
            quantiles, limit = usual[name].quantiles, usual[name].threshold
            for value, dash in ((quantiles[len(quantiles) // 2], "dot"), (limit, "dash")):
                made.add_hline(value, line={"color": look.colour(k), "width": 1.2, "dash": dash}, layer="below")
            top = max(top, limit)
    made.update_yaxes(title_text="spread, nats", range=[0, 1.12 * top or 1.0])  # lines do not count in plotly's range
    return _timed(made, look, height)


def surprises(frame: Frame, names: Sequence[str], look: Look, height: int) -> go.Figure:
    """Rewards minus what was predicted, in standard deviations of these differences, over time."""
    import plotly.graph_objects as go

    made = go.Figure()
    for k, name in enumerate(names):
        if name in frame.scores and name in frame.predicted:
            found = frame.scores[name] - frame.predicted[name]
            known = found[np.isfinite(found)]
            scale = float(known.std()) if len(known) else 0.0
            _curve(made, frame, found / (scale or 1.0), name, k, look, mean=True)
    made.add_hline(0, line={"color": look.muted, "width": 1, "dash": "dot"}, layer="below")
    made.update_yaxes(title_text="reward − predicted, SD")
    return _timed(made, look, height)


def _curve(made: Any, frame: Frame, values: Floats, name: str, k: int, look: Look, *, mean: bool = False) -> float:
    """Medians, or means, of requests of the main run in order, with 95 % intervals; the highest end of these."""
    rows = np.flatnonzero(np.isfinite(values) & (frame.arm == "main"))
    groups = np.array_split(rows, np.clip(len(rows) // LEAST, 1, POINTS)) if len(rows) else []
    middle, low, high = np.array([(_mean if mean else _median)(values[g]) for g in groups]).reshape(-1, 3).T
    made.add_scatter(
        x=_dates(np.array([frame.time[g].mean() for g in groups])), y=middle.tolist(),
        error_y={"array": (high - middle).tolist(), "arrayminus": (middle - low).tolist(), "thickness": 1, "width": 0,
                 "color": look.colour(k)},
        mode="lines+markers", name=html.escape(name), line={"color": look.colour(k), "width": 1.8},
        marker={"size": 7, "color": look.colour(k), "symbol": symbol(k)},
        customdata=np.column_stack([low, high]).tolist(),
        hovertemplate=f"{html.escape(name)} %{{y:.2f}} (%{{customdata[0]:.2f}} to %{{customdata[1]:.2f}})<br>"
        "%{x|%d %B %H:%M}<extra></extra>",
    )  # fmt: skip
    return float(high.max(initial=0.0))


def _mean(values: Floats) -> tuple[float, float, float]:
    """With its interval by Student's t; of one value none."""
    n, middle = len(values), float(values.mean())
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return middle, middle - half, middle + half


def _median(values: Floats) -> tuple[float, float, float]:
    """With its interval by the binomial ranks of the values."""
    least = int(stats.binom.ppf(0.025, len(values), 0.5))
    ordered = np.sort(values)
    return float(np.median(values)), float(ordered[max(least - 1, 0)]), float(ordered[-max(least, 1)])


def _dates(times: Floats) -> list[datetime]:
    """In the time zone of this machine, as the page's words have them."""
    return [datetime.fromtimestamp(t) for t in times.tolist()]


def _timed(made: go.Figure, look: Look, height: int) -> go.Figure:
    axis = {"gridcolor": look.line, "linecolor": look.line, "zeroline": False, "nticks": 6}
    made.update_xaxes(tickangle=0, **axis)
    made.update_yaxes(title_standoff=12, **axis)
    made.update_layout(height=height, showlegend=any(t.showlegend is not False for t in made.data), hovermode="closest")
    return dressed(made, look)
