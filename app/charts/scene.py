"""What all figures of a front share: which policies are lit, how each looks, and what is said of it on hover.

Names that come from files are escaped: plotly reads a little HTML in its labels.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from app.looks import Look
from pareto.front import looks as pictures
from pareto.front.looks import Mark

State = Literal["lit", "pale", "excluded"]

FONT = "Inter, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
SHAPES = {"base": "x", "expert": "star", "trained": "circle", "soup": "diamond"}
SIZES = {"base": 10, "expert": 15, "trained": 10, "soup": 11}
GLYPHS = {"base": "✕", "expert": "★", "trained": "●", "soup": "◆"}
Z95 = 1.959964
"""Half a 95 % interval in standard errors."""
CONFIG = {
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtonsToRemove": [
        "lasso2d",
        "lasso",
        "autoScale2d",
        "toImage",
        "toggleSpikelines",
        "zoomIn2d",
        "zoomOut2d",
    ],
}


@dataclass(frozen=True)
class Scene:
    """The policies of one split and what is known of them beside their scores."""

    rows: Sequence[Mapping[str, Any]]
    """In the shape of ``points`` in ``pareto front --json``."""
    names: tuple[str, ...]
    """Objectives in order of priority, (m,)."""
    signs: tuple[float, ...]
    """+1 where an objective is maximised, −1 where it is minimised, (m,)."""
    look: Look
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Id → why the priorities leave it out."""
    chosen: str | None = None
    pinned: str | None = None
    ringed: str = "chosen"
    """What the legend calls the policy with the ring."""
    light: Literal["front", "kept"] = "front"
    """What is in colour: the front, or everything that the priorities keep."""

    @cached_property
    def marks(self) -> list[Mark]:
        """In drawing order: what lies on top comes last."""
        order = {"excluded": 0, "pale": 1, "lit": 2}
        return sorted(pictures.marks(self.rows, self.names), key=lambda mark: order[self.state(mark)])

    def state(self, mark: Mark) -> State:
        """Whether a policy is in colour, dimmed as dominated, or out of reach."""
        if mark.source["id"] in self.excluded:
            return "excluded"
        return "lit" if mark.on_front or mark.kind == "base" or self.light == "kept" else "pale"

    def colour(self, mark: Mark) -> str:
        """An expert has its objective's colour, a soup the last one, base and trained policies the text's."""
        if self.state(mark) != "lit":
            return self.look.pale
        if mark.kind == "expert":
            return self.look.colour(self.names.index(mark.name))
        return self.look.objectives[5] if mark.kind == "soup" else self.look.text

    def rings(self) -> list[tuple[Mark, str, str]]:
        """Pinned and chosen as far as they are shown: mark, colour, shape of the ring."""
        at = {str(mark.source["id"]): mark for mark in self.marks}
        wanted = ((self.pinned, self.look.muted, "square-open"), (self.chosen, self.look.accent, "circle-open"))
        return [(at[name], colour, shape) for name, colour, shape in wanted if name in at]

    def hover(self, mark: Mark) -> str:
        """All that is known of a policy, in plotly's small HTML."""
        point = mark.source
        lines = [f"<b>{html.escape(str(point['id']))}</b>  {point['kind']}"]
        lines += [f"{html.escape(n)}  {value(point['mean'].get(n), point['se'].get(n))}" for n in self.names]
        for what in ("weights", "coefficients", "gold"):
            lines += _folded(what, point[what] or {})
        if point["kl"] is not None:
            lines.append(f"KL to the base  {pictures.number(point['kl'])} nats per token")
        if point["p_nondominated"] is not None:
            lines.append(f"on the front with probability {point['p_nondominated']:.2f}")
        reason = self.excluded.get(str(point["id"]))
        if reason:
            lines += [f"<b>out of reach</b>  {part}" for part in _wrapped(reason)][:1]
            lines += _wrapped(reason)[1:]
        return "<br>".join(lines)

    def about(self, marks: Iterable[Mark]) -> dict[str, Any]:
        """Ids for the selection and texts for the hover, in the order of the marks."""
        drawn = list(marks)
        return {
            "customdata": [str(mark.source["id"]) for mark in drawn],
            "hovertext": [self.hover(mark) for mark in drawn],
            "hoverinfo": "text",
            "showlegend": False,
        }

    def marker(self, mark: Mark) -> dict[str, Any]:
        """Shape by kind; filled, or an outline where it is out of reach."""
        shape, colour = SHAPES[mark.kind], self.colour(mark)
        if self.state(mark) == "excluded":
            return {
                "symbol": f"{shape}-open",
                "size": SIZES[mark.kind] - 2,
                "color": colour,
                "line": {"width": 1.4, "color": colour},
            }
        edge = {"color": self.look.background, "width": 0.8}
        return {"symbol": shape, "size": SIZES[mark.kind], "color": colour, "line": edge}

    def layout(self, height: int, **more: Any) -> dict[str, Any]:
        """Fonts, colours and margins of every figure."""
        return {
            "height": height,
            "margin": {"l": 8, "r": 14, "t": 14, "b": 8},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONT, "size": 13, "color": self.look.text},
            "hoverlabel": {
                "bgcolor": self.look.panel,
                "bordercolor": self.look.line,
                "font": {"family": FONT, "size": 13, "color": self.look.text},
                "align": "left",
            },
            "modebar": {
                "bgcolor": "rgba(0,0,0,0)",
                "color": self.look.pale,
                "activecolor": self.look.muted,
                "orientation": "v",
            },
            # One revision for ever: zoom, camera and hidden parts outlive a rerun.
            "uirevision": "pareto",
            "showlegend": False,
        } | more

    def title(self, text: str) -> dict[str, Any]:
        """An axis title; ``text`` may come from a file."""
        return {"text": html.escape(text), "font": {"size": 13, "color": self.look.text}}

    def axis(self, **more: Any) -> dict[str, Any]:
        """A quiet axis."""
        return {
            "gridcolor": self.look.line,
            "linecolor": self.look.line,
            "zeroline": False,
            "nticks": 6,
            "tickfont": {"color": self.look.muted, "size": 12},
            "title_standoff": 8,
            "automargin": True,
        } | more


def value(mean: float | None, se: float | None) -> str:
    """A measured mean with its standard error."""
    if mean is None or mean != mean:
        return "not measured"
    return pictures.number(mean) + ("" if se is None or se != se else f" ± {se:.2g}")


def groups(scene: Scene) -> list[list[Mark]]:
    """Policies that look the same, in drawing order: what one trace can draw."""
    found: dict[tuple[str, ...], list[Mark]] = {}
    for mark in scene.marks:
        found.setdefault((scene.state(mark), mark.kind, scene.colour(mark)), []).append(mark)
    return list(found.values())


def legend(scene: Scene, rival: str | None = None) -> str:
    """The legend as HTML, which wraps on a narrow page: kinds, and the states that are shown."""
    kinds = {mark.kind for mark in scene.marks}
    states = {scene.state(mark) for mark in scene.marks}
    inks = {
        "base": scene.look.text,
        "expert": scene.look.colour(0),
        "trained": scene.look.text,
        "soup": scene.look.objectives[5],
    }
    items = [(GLYPHS[kind], inks[kind], kind) for kind in pictures.KINDS if kind in kinds]
    items += [("◆", scene.look.pale, "dominated")] if "pale" in states else []
    items += [("◇", scene.look.muted, "out of reach")] if "excluded" in states else []
    ringed = [shape for _, _, shape in scene.rings()]
    items += [("◯", scene.look.accent, scene.ringed)] if "circle-open" in ringed else []
    items += [("☐", scene.look.muted, "pinned")] if "square-open" in ringed else []
    items += [("△", scene.look.muted, rival)] if rival else []
    spans = "".join(
        f"<span style='display:inline-flex;gap:.4rem;align-items:baseline'><span aria-hidden=true "
        f"style='color:{colour}'>{glyph}</span>{html.escape(label)}</span>"
        for glyph, colour, label in items
    )
    return (
        f"<div class=legend style='display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;font-size:.87rem;"
        f"color:{scene.look.muted}'>{spans}</div>"
    )


def _folded(what: str, values: Mapping[str, float | None]) -> list[str]:
    """Named numbers on lines of two, so that a hover stays narrow."""
    known = [f"{html.escape(name)} {pictures.number(v)}" for name, v in values.items() if v is not None and v == v]
    lines = [", ".join(known[i : i + 2]) for i in range(0, len(known), 2)]
    return [f"{what}  {lines[0]}", *lines[1:]] if lines else []


def _wrapped(text: str) -> list[str]:
    import textwrap

    return [html.escape(line) for line in textwrap.wrap(text, 56)]
