"""Learned weights as HTML: a bar per objective with its interval; free of Streamlit."""

from __future__ import annotations

from html import escape

from app.looks import Look, clip
from pareto.choice.user_study.result import Result

SCALE = (0, 25, 50, 75, 100)
"""Per cent at the ticks."""


def weights_html(result: Result, look: Look) -> str:
    """Each objective's weight: pale bar what is still possible (90 %), its mark at the mean."""
    rows = ""
    bar = "position:absolute;top:8px;height:8px;border-radius:4px"
    for k, (name, mean) in enumerate(result.weights.items()):
        low, high = 100 * result.low[name], 100 * result.high[name]
        colour = look.colour(k)
        rows += (
            "<div style='display:flex;justify-content:space-between;gap:.8rem;margin-top:.55rem'>"
            f"<span style='overflow-wrap:anywhere'>{escape(name)}</span><span style='white-space:nowrap'>"
            f"<b>{100 * mean:.0f} %</b> <span style='color:{look.muted}'>{low:.0f} to {high:.0f}</span></span></div>"
            "<div style='position:relative;height:24px'>"
            f"<div style='{bar};left:0;right:0;background:{look.track}'></div>"
            f"<div style='{bar};left:{low:.1f}%;width:{high - low:.1f}%;background:{colour};opacity:.45'></div>"
            f"<div style='position:absolute;left:{100 * mean:.1f}%;top:5.5px;width:13px;height:13px;"
            f"margin-left:-6.5px;background:{colour};{clip(k)}'></div></div>"
        )
    ticks = "".join(f"<span>{t}</span>" for t in SCALE)
    said = "; ".join(
        f"{n} {100 * w:.0f} percent, {100 * result.low[n]:.0f} to {100 * result.high[n]:.0f}"
        for n, w in result.weights.items()
    )
    return (
        f"<div role='img' aria-label='Weights. {escape(said)}' data-duels='{result.duels}'>{rows}"
        "<div style='display:flex;justify-content:space-between;font-size:.8rem;"
        f"color:{look.muted}'>{ticks}</div></div>"
    )


def sliders(weights: dict[str, float], steps: int) -> dict[str, int]:
    """Weights as positions of sliders from 0 to ``steps``, the largest at its end."""
    top = max(weights.values())
    return {name: round(steps * weight / top) for name, weight in weights.items()}
