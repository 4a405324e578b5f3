"""Pictures of a series of rounds, from its records: for the report and for the app. Imports plotly only to draw."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pareto.front import looks

if TYPE_CHECKING:
    import plotly.graph_objects as go

Records = Sequence[Mapping[str, Any]]

_SHAPES = {"base": "x", "expert": "star", "trained": "circle", "soup": "diamond"}
_Z95 = 1.96
_NOTHING = float("nan")


def objectives(records: Records) -> list[str]:
    """Their names, in the recipe's order."""
    return list(records[0]["rewards"])


def fronts(records: Records, *, text: str = looks.INK, grid: str = looks.GRID) -> go.Figure:
    """The fronts of all rounds under gold: a panel for every pair of objectives, a colour for every round.

    Args:
        records: of at least one round.
        text: colour of text.
        grid: colour of lines behind the marks.

    Returns:
        Gains over the base in base standard deviations, bars at 95 %; a line joins what nothing dominates.
    """
    from plotly.subplots import make_subplots

    names = [n for n in objectives(records) if any(p["gold"][n] is not None for p in records[0]["front"])]
    pairs = list(itertools.combinations(names, 2)) or [(names[0], names[0])] if names else []
    rows = max(1, -(-len(pairs) // looks.COLUMNS))
    columns = max(1, min(looks.COLUMNS, len(pairs)))
    made = make_subplots(rows, columns, horizontal_spacing=0.09, vertical_spacing=0.3 / rows)
    for k, (x, y) in enumerate(pairs):
        at = {"row": k // columns + 1, "col": k % columns + 1}
        for record in records:
            _front(made, record, x, y, legend=k == 0, at=at)
        for add in (made.add_vline, made.add_hline):
            add(0, line={"color": looks.MUTED, "width": 1, "dash": "dot"}, layer="below", **at)
        made.update_xaxes(title_text=html.escape(x), **at)
        made.update_yaxes(title_text=html.escape(y), **at)
    return _dressed(made, 90 + 330 * rows, text, grid)


def by_round(records: Records, *, text: str = looks.INK, grid: str = looks.GRID) -> go.Figure:
    """Hypervolume under gold, and the gap of every objective and of their mean, by round, with intervals."""
    from plotly.subplots import make_subplots

    made = make_subplots(1, 2, horizontal_spacing=0.1)
    rounds = [r["round"] for r in records]
    _curve(made, rounds, [r["hypervolume"] for r in records], "hypervolume", text, {"row": 1, "col": 1}, width=2.4)
    names = objectives(records)
    for k, name in enumerate(names):
        shift = 0.05 * (k - (len(names) - 1) / 2)  # so that bars do not hide each other
        values = [r["gap"]["by_objective"].get(name) for r in records]
        _curve(made, [x + shift for x in rounds], values, name, _colour(k), {"row": 1, "col": 2}, width=1.4)
    means = [r["gap"]["mean"] for r in records]
    _curve(made, rounds, means, "mean size", text, {"row": 1, "col": 2}, width=2.4)
    made.add_hline(0, line={"color": looks.MUTED, "width": 1, "dash": "dot"}, layer="below", row=1, col=2)
    made.update_xaxes(title_text="round", tickvals=rounds)
    made.update_yaxes(title_text="hypervolume under gold", row=1, col=1)
    made.update_yaxes(title_text="gap: proxy gain − gold gain", row=1, col=2)
    return _dressed(made, 380, text, grid)


def against_kl(records: Records, *, text: str = looks.INK, grid: str = looks.GRID) -> go.Figure:
    """Proxy (hollow) and gold (full) gain of every policy against its KL to the base, a panel for every objective."""
    from plotly.subplots import make_subplots

    names = objectives(records)
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    made = make_subplots(rows, columns, horizontal_spacing=0.1, vertical_spacing=0.3 / rows)
    for k, name in enumerate(names):
        at = {"row": k // columns + 1, "col": k % columns + 1}
        for record in records:
            colour, points = _colour(record["round"] - 1), sorted(record["front"], key=lambda p: p["kl"] or 0.0)
            for side, dash, symbol in (("proxy", "dot", "circle-open"), ("gold", "solid", "circle")):
                made.add_scatter(
                    x=[p["kl"] for p in points],
                    y=[p[side][name] for p in points],
                    mode="lines+markers",
                    line={"color": colour, "width": 1.2, "dash": dash},
                    marker={"symbol": symbol, "size": 8, "color": colour},
                    name=f"round {record['round']}, {side}",
                    legendgroup=f"{record['round']}{side}",
                    showlegend=k == 0,
                    hovertext=[_hover(p, record["round"]) for p in points],
                    hoverinfo="text",
                    **at,
                )
        made.update_xaxes(title_text="KL to the base, nats per token", **at)
        made.update_yaxes(title_text=html.escape(name), **at)
    return _dressed(made, 90 + 300 * rows, text, grid)


def labels_against_accuracy(records: Records, *, text: str = looks.INK, grid: str = looks.GRID) -> go.Figure:
    """Accuracy of each objective's reward models against the labels that they learnt from: on labels held out
    (dotted), and under gold on the new policies' answers (full)."""
    import plotly.graph_objects as go

    made = go.Figure()
    for k, name in enumerate(objectives(records)):
        labels = [r["went_in"]["labels_total"][name] for r in records]
        for key, dash, title in (("gold_accuracy", "solid", "by gold"), ("accuracy", "dot", "by labels")):
            values = [r["rewards"][name][key] for r in records]
            if any(v is not None and v["value"] is not None for v in values):
                _curve(made, labels, values, f"{name}, {title}", _colour(k), {}, width=1.6, dash=dash)
    made.add_hline(0.5, line={"color": looks.MUTED, "width": 1, "dash": "dot"}, layer="below")
    made.update_xaxes(title_text="labels")
    made.update_yaxes(title_text="pairs ordered right", tickformat=".0%")
    return _dressed(made, 380, text, grid)


def _front(made: Any, record: Mapping[str, Any], x: str, y: str, *, legend: bool, at: Mapping[str, int]) -> None:
    """A round's policies in one panel, and the line through its front in these two objectives."""
    colour, name = _colour(record["round"] - 1), f"round {record['round']}"
    points = [p for p in record["front"] if p["gold"][x] is not None and p["gold"][y] is not None]
    bar = {"type": "data", "color": colour, "thickness": 0.8, "width": 0}
    made.add_scatter(
        x=[p["gold"][x] for p in points],
        y=[p["gold"][y] for p in points],
        error_x=bar | {"array": [_Z95 * (p["gold_se"][x] or 0.0) for p in points]},
        error_y=bar | {"array": [_Z95 * (p["gold_se"][y] or 0.0) for p in points]},
        mode="markers",
        marker={
            "symbol": [_SHAPES[p["kind"]] for p in points],
            "size": [11 if p["on_front"] else 7 for p in points],
            "color": colour,
            "opacity": [1.0 if p["on_front"] else 0.45 for p in points],
            "line": {"color": "white", "width": 0.8},
        },
        name=name,
        legendgroup=name,
        showlegend=legend,
        hovertext=[_hover(p, record["round"]) for p in points],
        hoverinfo="text",
        **at,
    )
    stairs = _stairs([(p["gold"][x], p["gold"][y]) for p in points if p["on_front"]])
    made.add_scatter(
        x=[a for a, _ in stairs],
        y=[b for _, b in stairs],
        mode="lines",
        line={"color": colour, "width": 1.6},
        legendgroup=name,
        showlegend=False,
        hoverinfo="skip",
        **at,
    )


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that no other dominates in these two, from left to right."""
    kept = [p for p in points if not any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in points)]
    return sorted(set(kept))


def _curve(
    made: Any, x: Sequence[float], values: Sequence[Any], name: str, colour: str, at: Mapping[str, int], **line: Any
) -> None:
    """Values with their intervals; what is unknown is left out."""

    def get(value: Any, key: str) -> float:
        return _NOTHING if value is None or value[key] is None else float(value[key])

    middle = [get(v, "value") for v in values]
    made.add_scatter(
        x=list(x),
        y=middle,
        error_y={
            "type": "data",
            "array": [get(v, "high") - m for v, m in zip(values, middle, strict=True)],
            "arrayminus": [m - get(v, "low") for v, m in zip(values, middle, strict=True)],
            "color": colour,
            "thickness": 1,
            "width": 0,
        },
        mode="lines+markers",
        line={"color": colour, **line},
        marker={"size": 8, "color": colour},
        name=html.escape(name),
        **at,
    )


def _hover(point: Mapping[str, Any], number: int) -> str:
    lines = [f"<b>{html.escape(str(point['id']))}</b>  round {number}"]
    for name, proxy in point["proxy"].items():
        gold = point["gold"][name]
        said = "no gold" if gold is None else f"gold {looks.number(gold)}"
        lines.append(f"{html.escape(name)}  proxy {'–' if proxy is None else looks.number(proxy)}, {said}")
    if point["kl"] is not None:
        lines.append(f"KL to the base  {point['kl']:.3g} nats per token")
    return "<br>".join(lines)


def _colour(k: int) -> str:
    return looks.PALETTE[k % len(looks.PALETTE)]


def _dressed(made: go.Figure, height: int, text: str, grid: str) -> go.Figure:
    axis = {"gridcolor": grid, "linecolor": grid, "zeroline": False, "nticks": 6, "title_standoff": 6}
    made.update_xaxes(tickfont_color=text, **axis)
    made.update_yaxes(tickfont_color=text, **axis)
    return made.update_layout(
        height=height,
        font={"size": 13, "color": text},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"l": 60, "r": 20, "t": 60, "b": 50},
        plot_bgcolor="rgba(0,0,0,0)",
        paper_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"bgcolor": "white", "font": {"color": looks.INK}},
    )
