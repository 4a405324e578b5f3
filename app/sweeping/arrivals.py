"""What a sweep has measured so far, as pictures, a table and a card of its state; free of Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from app.charts.scene import SHAPES
from app.looks import Look
from app.sweeping.progress import Progress
from pareto.records import Point


def ago(seconds: float) -> str:
    """A span of time for people: 3 s, 12 min, 5 h, 2 days."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def state_of(progress: Progress, running: bool) -> str:
    """One word for how a sweep stands."""
    return "Running" if running else "Finished" if progress.finished else "Stopped"


def card(progress: Progress, running: bool, look: Look) -> str:
    """HTML: what is being done, how far it is, how long it takes, when it was last heard of.

    Args:
        progress: of the run.
        running: whether a process works on it.
        look: of the theme.
    """
    state = state_of(progress, running)
    task = progress.task if running else None
    asked = progress.trials + progress.soups_asked
    done = progress.trained + min(progress.soups, progress.soups_asked)
    if task is not None and task.asked:
        done, asked = min(task.done, task.asked), task.asked
    share = 100 * done / asked if asked else 0.0
    facts = [("policies", f"{progress.trained} of {progress.trials}")]
    if progress.soups_asked:
        facts.append(("soups", f"{progress.soups} of {progress.soups_asked}"))
    # Between two results there can be minutes in which a process that works writes nothing.
    sign = "last result" if running and progress.leader is not None else "last sign of life"
    facts.append((sign, f"{ago(progress.quiet)} ago"))
    if running and progress.remaining is not None:
        facts.append(("policies left", f"about {ago(progress.remaining)}"))
    if running and progress.leader is not None:
        facts.append(("process", str(progress.leader)))
    if progress.hypervolumes:
        facts.append(("hypervolume", f"{progress.hypervolumes[-1]:.2f}"))
    words = {
        "Running": task.words if task else progress.phase,
        "Finished": "the front is measured on test",
        "Stopped": f"it was {progress.phase}; nothing that was made is lost",
    }[state]
    cells = "".join(
        f"<div><div style='color:{look.muted};font-size:.85rem'>{escape(name)}</div>"
        f"<div style='font-size:1.1rem;font-weight:600'>{escape(value)}</div></div>"
        for name, value in facts
    )
    dot = look.objectives[1] if state == "Running" else look.muted
    return (
        f"<div class='sweep-state' data-state='{state.lower()}'>"
        f"<div style='display:flex;align-items:baseline;gap:.6rem;flex-wrap:wrap'>"
        f"<span style='width:.65rem;height:.65rem;border-radius:50%;background:{dot};display:inline-block'></span>"
        f"<b style='font-size:1.1rem'>{state}</b><span style='color:{look.muted}'>{escape(words)}</span></div>"
        f"<div role='progressbar' aria-label='policies and soups measured' aria-valuemin='0' aria-valuemax='{asked}' "
        f"aria-valuenow='{done}' style='height:8px;border-radius:4px;background:{look.track};margin:.9rem 0 1.1rem'>"
        f"<div style='height:8px;border-radius:4px;background:{look.accent};width:{share:.1f}%'></div></div>"
        "<div style='display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.9rem 1.2rem'>"
        f"{cells}</div></div>"
    )


def rows(progress: Progress) -> list[dict[str, Any]]:
    """The table of what has arrived, the latest first."""
    names = progress.frame.objectives if progress.frame else ()
    return [
        {
            "policy": p.id,
            "kind": p.kind,
            **{n: f"{p.mean[n]:.3f} ±{p.se[n]:.3f}" for n in names},
            "KL": f"{p.kl:.2f}",
        }
        for p in reversed(progress.points)
    ]


def slice_figure(progress: Progress, x: str, y: str, look: Look) -> Any:
    """Two objectives against each other with standard errors; the latest policy has a ring."""
    import plotly.graph_objects as go

    figure = go.Figure()
    names = progress.frame.objectives if progress.frame else ()
    for kind, shape in SHAPES.items():
        found = [p for p in progress.points if p.kind == kind]
        if not found:
            continue
        bars = {"color": look.pale, "thickness": 1, "width": 0}
        figure.add_scatter(
            x=[p.mean[x] for p in found],
            y=[p.mean[y] for p in found],
            error_x={"array": [p.se[x] for p in found], **bars},
            error_y={"array": [p.se[y] for p in found], **bars},
            mode="markers",
            name=kind,
            marker={
                "symbol": shape,
                "size": 11,
                "color": [_colour(p, names, look) for p in found],
                "line": {"width": 0.8, "color": look.background},
            },
            text=[escape(p.id) for p in found],
            hovertemplate=f"<b>%{{text}}</b><br>{escape(x)} %{{x:.3f}}<br>{escape(y)} %{{y:.3f}}<extra></extra>",
        )
    if progress.points:
        last = progress.points[-1]
        figure.add_scatter(
            x=[last.mean[x]],
            y=[last.mean[y]],
            mode="markers",
            name="latest",
            marker={"symbol": "circle-open", "size": 20, "color": look.accent, "line": {"width": 2}},
            hoverinfo="skip",
        )
    return _plain(figure, x, y, look)


def curve_figure(progress: Progress, look: Look) -> Any:
    """Hypervolume after each policy."""
    import plotly.graph_objects as go

    names = [p.id for p in progress.points if p.kind != "base"]
    figure = go.Figure()
    figure.add_scatter(
        x=list(range(1, len(names) + 1)),
        y=list(progress.hypervolumes),
        mode="lines+markers" if len(names) < 60 else "lines",
        line={"color": look.accent, "width": 2, "shape": "hv"},
        marker={"size": 6},
        text=[escape(n) for n in names],
        hovertemplate="after <b>%{text}</b>: %{y:.2f}<extra></extra>",
        showlegend=False,
    )
    figure.update_yaxes(rangemode="tozero")
    return _plain(figure, "policies", "hypervolume on validation", look)


def _colour(point: Point, names: Sequence[str], look: Look) -> str:
    """As on the other pages: an expert has its objective's colour, a soup the last one."""
    objective = point.id.removeprefix("expert-")
    if point.kind == "expert" and objective in names:
        return look.colour(names.index(objective))
    return look.objectives[5] if point.kind == "soup" else look.text


def _plain(figure: Any, x: str, y: str, look: Look) -> Any:
    axis = {
        "gridcolor": look.line,
        "zeroline": False,
        "linecolor": look.line,
        "tickfont": {"color": look.muted, "size": 12},
        "title": {"font": {"color": look.text, "size": 13}, "standoff": 8},
        "automargin": True,
        "nticks": 6,
    }
    figure.update_xaxes(**axis, title_text=escape(x))
    figure.update_yaxes(**axis, title_text=escape(y))
    return figure.update_layout(
        height=300,
        margin={"l": 8, "r": 12, "t": 34, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Inter, system-ui, sans-serif", "color": look.text, "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": look.text}},
        hoverlabel={"bgcolor": look.panel, "font": {"color": look.text}},
        uirevision="same",
        dragmode=False,
    )
