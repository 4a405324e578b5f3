"""Pictures of the front: ``figure`` and ``save_html`` draw it to be explored, ``save_png`` to be shown.

All take points in the shape of ``pareto front --json``: dicts with ``id``, ``kind`` (base, expert, trained or
soup), ``weights``, ``mean``, ``se``, ``on_front``, ``p_nondominated`` and ``kl``.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.front import looks
from pareto.front.png import save_png

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["figure", "save_html", "save_png"]

_SHAPES = {"base": "x", "expert": "star", "trained": "circle", "soup": "diamond"}
_SIZES = {"base": 10, "expert": 15, "trained": 9, "soup": 10}
_FONT = "Inter, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def figure(
    points: Sequence[Mapping[str, Any]],
    objectives: Sequence[str],
    *,
    signs: Sequence[float] | None = None,
    title: str | None = None,
) -> go.Figure:
    """Every pair of objectives as a scatter, and beneath them all objectives as value paths.

    Args:
        points: as above, at least one.
        objectives: names in priority order, (m,), m ≥ 2.
        signs: +1 where an objective is maximised, −1 where it is minimised, (m,); default: all maximised.
        title: the picture's title; default: how many policies, how many on the front.

    Returns:
        A plotly figure whose hover shows all that is known of a point.
    """
    from plotly.subplots import make_subplots

    signs = signs or [1.0] * len(objectives)
    drawn = looks.marks(points, objectives)
    pairs, rows = looks.pairs(len(objectives)), looks.rows(len(objectives))
    columns = min(looks.COLUMNS, len(pairs))
    height = 190 + 350 * rows + 300
    made = make_subplots(
        rows + 1,
        columns,
        specs=[[{}] * columns] * rows + [[{"colspan": columns}] + [None] * (columns - 1)],
        row_heights=[350] * rows + [300],
        vertical_spacing=95 / height,
        horizontal_spacing=0.075,
    )
    for i, (x, y) in enumerate(pairs):
        _panel(made, drawn, (x, y), (objectives, signs), {"row": i // columns + 1, "col": i % columns + 1})
    for i in range(len(pairs), rows * columns):
        made.update_xaxes(visible=False, row=rows, col=i % columns + 1)
        made.update_yaxes(visible=False, row=rows, col=i % columns + 1)
    axis = {"gridcolor": looks.GRID, "linecolor": looks.PALE, "zeroline": False, "nticks": 6, "title_standoff": 6}
    made.update_xaxes(tickfont_color=looks.MUTED, **axis)
    made.update_yaxes(tickfont_color=looks.MUTED, **axis)
    _paths(made, drawn, objectives, signs, rows + 1)
    _legend(made, drawn)
    head = html.escape(title or looks.headline(drawn))
    made.update_layout(
        title={
            "text": f"<b>{head}</b><br><span style='font-size:13px;color:{looks.MUTED}'>{looks.NOTE}</span>",
            "x": 0.02,
            "y": 1 - 40 / height,
            "font_size": 21,
        },
        font={"family": _FONT, "size": 13, "color": looks.INK},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1 + 62 / (height - 190), "yanchor": "bottom"},
        margin={"l": 75, "r": 35, "t": 130, "b": 60},
        height=height,
        plot_bgcolor="white",
        paper_bgcolor="white",
        hoverlabel={"bgcolor": "white", "bordercolor": looks.PALE, "font": {"family": _FONT, "color": looks.INK}},
    )
    return made


def save_html(fig: go.Figure, path: str | Path) -> None:
    """Write a figure as one HTML file that needs no network: plotly.js is inside."""
    fig.write_html(path, include_plotlyjs=True, config={"displaylogo": False, "responsive": True})


def _panel(
    made: Any,
    drawn: list[looks.Mark],
    pair: tuple[int, int],
    axes: tuple[Sequence[str], Sequence[float]],
    at: dict[str, int],
) -> None:
    """One pair of objectives as a scatter with error bars, at a row and column."""
    x, y = pair
    names, signs = axes
    sides = looks.label_sides(drawn, x, y)
    for mark in drawn:
        colour = _colour(mark)
        bar = {"type": "data", "color": colour, "thickness": 1, "width": 0}
        right, above = sides.get(mark.name, (1, 1))
        made.add_scatter(
            x=[mark.mean[x]],
            y=[mark.mean[y]],
            error_x={**bar, "array": [mark.se[x]]},
            error_y={**bar, "array": [mark.se[y]]},
            mode="markers+text" if mark.kind == "expert" else "markers",
            marker=_marker(mark),
            text=[html.escape(mark.name)],
            textposition=f"{'top' if above > 0 else 'bottom'} {'right' if right > 0 else 'left'}",
            textfont_size=12,
            **_about(mark),
            **at,
        )
        if mark.kind == "base":
            line = {"color": looks.MUTED, "width": 1, "dash": "dot"}
            made.add_vline(x=mark.mean[x], line=line, layer="below", **at)
            made.add_hline(y=mark.mean[y], line=line, layer="below", **at)
    made.update_xaxes(title_text=html.escape(looks.direction(names[x], signs[x])), **at)
    made.update_yaxes(title_text=html.escape(looks.direction(names[y], signs[y])), **at)


def _paths(made: Any, drawn: list[looks.Mark], objectives: Sequence[str], signs: Sequence[float], row: int) -> None:
    """All objectives at once, each from its worst to its best."""
    worst, best = looks.spread(drawn, signs)
    for mark in drawn:
        lit = mark.on_front or mark.kind == "base"
        made.add_scatter(
            x=list(range(len(objectives))),
            y=(mark.mean - worst) / (best - worst),
            mode="lines+markers",
            line={"color": _colour(mark), "width": 2 if lit else 1, "dash": "dot" if mark.kind == "base" else "solid"},
            marker=_marker(mark),
            **_about(mark),
            row=row,
            col=1,
        )
    for k in range(len(objectives)):
        for value, level, place in ((best[k], 1, "bottom"), (worst[k], 0, "top")):
            made.add_annotation(
                x=k, y=level, text=looks.number(value), showarrow=False, xanchor="left", yanchor=place, xshift=5,
                yshift=6 if level else -6, font={"size": 12, "color": looks.MUTED}, row=row, col=1,
            )  # fmt: skip
    labels = [html.escape(name) for name in objectives]
    made.update_xaxes(
        tickvals=list(range(len(labels))), ticktext=labels, tickfont={"size": 13, "color": looks.INK},
        range=[-0.12, len(labels) - 0.88], gridcolor=looks.PALE, row=row, col=1,
    )  # fmt: skip
    made.update_yaxes(tickvals=[0, 1], ticktext=["worst", "best"], range=[-0.17, 1.17], showgrid=False, row=row, col=1)
    made.add_annotation(
        text=looks.PATHS, x=0, y=1.2, xref="x domain", yref="y domain", xanchor="left", showarrow=False, font_size=14,
        row=row, col=1,
    )  # fmt: skip


def _legend(made: Any, drawn: list[looks.Mark]) -> None:
    """One entry for each kind that is drawn, and one for the dominated points; a click hides them everywhere."""
    present = {mark.kind for mark in drawn}
    entries = [(kind, _SHAPES[kind], looks.LEGEND[kind]) for kind in looks.KINDS if kind in present]
    for name, shape, colour in [*entries, ("dominated", "circle", looks.PALE)]:
        marker = {"symbol": shape, "color": colour, "size": _SIZES.get(name, 9)}
        made.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name, legendgroup=name)


def _about(mark: looks.Mark) -> dict[str, Any]:
    """Legend group and hover text of a point."""
    group = mark.kind if mark.on_front or mark.kind == "base" else "dominated"
    return {"legendgroup": group, "showlegend": False, "hoverinfo": "text", "hovertext": _hover(mark.source)}


def _hover(point: Mapping[str, Any]) -> str:
    """All that is known of a point, in plotly's small HTML."""
    lines = [f"<b>{html.escape(str(point['id']))}</b>  {point['kind']}"]
    for name, mean in point["mean"].items():
        se = point["se"].get(name)
        value = "not measured" if mean is None else looks.number(mean) + ("" if se is None else f" ± {se:.2g}")
        lines.append(f"{html.escape(name)}  {value}")
    if point["weights"]:
        weights = ", ".join(f"{html.escape(name)} {value:.2f}" for name, value in point["weights"].items())
        lines.append(f"weights  {weights}")
    if point["kl"] is not None:
        lines.append(f"KL to the base  {point['kl']:.3g} nats per token")
    lines.append(f"non-dominated with probability {point['p_nondominated']:.2f}")
    return "<br>".join(lines)


def _colour(mark: looks.Mark) -> str:
    """Full on the front and for the base, pale for a dominated point."""
    return mark.colour if mark.on_front or mark.kind == "base" else looks.PALE


def _marker(mark: looks.Mark) -> dict[str, Any]:
    """Shape and size by kind, with a white edge that separates overlapping marks."""
    edge = {"color": "white", "width": 0.8}
    return {"symbol": _SHAPES[mark.kind], "size": _SIZES[mark.kind], "color": _colour(mark), "line": edge}
