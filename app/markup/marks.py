"""Pieces of pages as HTML: outcome bars, the mix, answers and their scores. Text in, escaped HTML out; no Streamlit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from app.looks import Look, clip, glyph
from app.markup.steps import legend, stepped

if TYPE_CHECKING:
    from app.live.steps import Verdict


@dataclass(frozen=True)
class Outcome:
    """What a policy gives of one objective, in the objective's own units."""

    name: str
    value: float
    low: float
    high: float
    """The interval of the value."""
    reach: tuple[float, float]
    """What can be had at all."""
    base: float | None = None
    """The base model's."""
    pin: float | None = None
    """The pinned policy's."""
    difference: str = ""
    """To the pinned policy, in words or a number."""
    better_low: bool = False
    """Less is better: drawn from right to left, so that better is always to the right."""


def figure(value: float, half: float | None = None) -> str:
    """A number with the digits that its half width leaves any sense in; without one, three."""
    if not math.isfinite(value):
        return "–"
    size = half if half and math.isfinite(half) else abs(value) / 25
    # Halved: an interval that begins with 1 shows a second digit.
    places = min(max(-math.floor(math.log10(size / 2)) if size else 2, 0), 4)
    text = f"{value:.{places}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def signed(value: float, half: float | None = None) -> str:
    """``figure`` with its sign."""
    text = figure(value, half)
    return text if text.startswith("−") or not value else f"+{text}"


def difference(value: float, half: float, other: float, other_half: float) -> str:
    """To another policy's value; in words where the interval of the difference covers 0."""
    between = math.hypot(half, other_half)
    gap = value - other
    return signed(gap, between) if abs(gap) > between else "no clear difference"


def outcome_bars(outcomes: Sequence[Outcome], look: Look, order: Sequence[str] | None = None) -> str:
    """One bar per objective, each on its own scale: pale what can be had, strong the interval, the mark the value.

    Args:
        outcomes: the objectives shown.
        look: the theme.
        order: all objectives, for colours and shapes; by default those shown.
    """
    names = list(order or [o.name for o in outcomes])
    pinned = any(o.pin is not None for o in outcomes)
    rows = "".join(_bar(o, names.index(o.name), look, pinned) for o in outcomes)
    spoken = "; ".join(
        f"{o.name} {figure(o.value, _half(o))}, interval {figure(o.low, _half(o))} to {figure(o.high, _half(o))}"
        for o in outcomes
    )
    return f"<div class='bars' role='img' aria-label='{escape(spoken)}'>{rows}</div>"


def _half(o: Outcome) -> float:
    return (o.high - o.low) / 2


def _bar(o: Outcome, k: int, look: Look, pinned: bool) -> str:
    ends = [*o.reach, o.low, o.high, *(v for v in (o.base, o.pin) if v is not None)]
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.04 or 1.0
    first, span = low - margin, high - low + 2 * margin

    def at(value: float) -> float:
        share = 100 * (value - first) / span
        return 100 - share if o.better_low else share

    def stripe(kind: str, u: float, v: float, style: str) -> str:
        left, right = sorted((at(u), at(v)))
        return f"<i class='{kind}' style='left:{left:.2f}%;width:{right - left:.2f}%;{style}'></i>"

    colour, half = look.colour(k), _half(o)
    track = stripe("reach", *o.reach, f"background:{look.track}")
    if o.base is not None:
        track += f"<i class='base' style='left:{at(o.base):.2f}%;border-color:{look.muted}'></i>"
    track += stripe("interval", o.low, o.high, f"background:{colour}")
    if o.pin is not None:
        track += f"<i class='pin' style='left:{at(o.pin):.2f}%;background:{look.text}'></i>"
    track += f"<i class='mark' style='left:{at(o.value):.2f}%;background:{colour};{clip(k)}'></i>"
    told = f"<span class='told mute'>{escape(o.difference)}</span>" if pinned else ""
    return (
        f"<div class='bar{' pinned' if pinned else ''}'><span class='name'>{escape(o.name)}</span>"
        f"<div class='track'>{track}</div>"
        f"<span class='value'><b>{figure(o.value, half)}</b> <span class='mute'>±{figure(half, half)}</span></span>"
        f"{told}</div>"
    )


def mix_bar(weights: Mapping[str, float], look: Look) -> str:
    """Weights, on the simplex, as shares of one bar with their legend."""
    cells = "".join(
        f"<i style='width:{100 * w:.1f}%;background:{look.colour(k)}'></i>"
        for k, w in enumerate(weights.values())
        if w > 0.004
    )
    legend = "".join(
        f"<span title='{escape(name)}'><b style='color:{look.colour(k)}'>{glyph(k)}</b> {100 * w:.0f} %</span>"
        for k, (name, w) in enumerate(weights.items())
    )
    spoken = ", ".join(f"{name} {100 * w:.0f} percent" for name, w in weights.items())
    return (
        f"<div class='mix' role='img' aria-label='Weights: {escape(spoken)}'>"
        f"<div class='cells'>{cells}</div><div class='legend'>{legend}</div></div>"
    )


def coefficients(mix: Mapping[str, float]) -> str:
    """How much of each adapter, as one quiet line."""
    parts = " · ".join(
        f"{escape(name.removeprefix('expert-'))} {value:.2f}".replace("-", "−") for name, value in mix.items() if value
    )
    return f"<p class='mute small'>Soup: {parts or 'the base model alone'}</p>"


@dataclass(frozen=True)
class Answer:
    """One column of a comparison."""

    title: str
    label: str
    """The mix that wrote it."""
    text: str
    open: bool = False
    """More is to come."""
    note: str = ""
    """Quiet line beneath, such as that it was stopped."""
    steps: Sequence[Verdict] = ()
    """What is known of its steps."""


def answers(shown: Sequence[Answer]) -> str:
    """Answers side by side, or one above the other where it is narrow; their text is text."""
    columns = "".join(
        f"<section class='voice'><h4>{escape(a.title)}</h4><p class='mute small'>{escape(a.label)}</p>"
        f"<p class='answer'>{stepped(a.text, a.steps)}{'<i class=caret></i>' if a.open else ''}</p>"
        + (f"<p class='mute small'>{escape(a.note)}</p>" if a.note else "")
        + "</section>"
        for a in shown
    )
    return f"<div class='voices'>{columns}</div>{legend([a.steps for a in shown])}"


def said(prompt: str) -> str:
    """What was asked."""
    return f"<p class='said'>{escape(prompt)}</p>"


def score_table(
    titles: Sequence[str],
    scores: Sequence[Mapping[str, float]],
    names: Sequence[str],
    gold: Sequence[str],
    look: Look,
) -> str:
    """What each answer scores: objectives first, then the measures that nothing was trained on, then the KL."""

    def row(key: str, head: str) -> str:
        values = [s.get(key, math.nan) for s in scores]
        half = max((abs(v) / 25 for v in values if math.isfinite(v)), default=None)  # the same digits along a row
        cells = "".join(f"<td>{figure(v, half)}</td>" for v in values)
        return f"<tr><th scope='row'>{head}</th>{cells}</tr>"

    head = "".join(f"<th scope='col'>{escape(t)}</th>" for t in titles)
    rows = "".join(row(n, f"<b style='color:{look.colour(k)}'>{glyph(k)}</b> {escape(n)}") for k, n in enumerate(names))
    rows += "".join(row(f"gold:{n}", f"<span class='mute'>{escape(n)}, held out</span>") for n in gold)
    rows += row("gold:kl", "<span class='mute'>KL to the base, per token</span>")
    return (
        f"<table class='scores'><thead><tr><th scope='col' class='mute'>This answer</th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def line(text: str, kind: str = "mute") -> str:
    """One line of text in a class of the style sheet."""
    return f"<p class='{kind} small'>{escape(text)}</p>"


def css(look: Look) -> str:
    """Style of these pieces."""
    return f"""<style>
.small{{font-size:.87rem;margin:.2rem 0}}
.bar{{display:grid;grid-template-columns:6rem minmax(0,1fr) 7rem;align-items:center;column-gap:.9rem;min-height:36px}}
.bar.pinned{{grid-template-columns:6rem minmax(0,1fr) 7rem 5.4rem}}
.bar .name{{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}}
.bar .value{{white-space:nowrap}} .bar .told{{font-size:.8rem;line-height:1.15}}
.track{{position:relative;height:34px}} .track i{{position:absolute;display:block}}
.track .reach{{top:11px;height:12px;border-radius:12px}}
.track .interval{{top:14px;height:6px;border-radius:6px;opacity:.5;min-width:3px}}
.track .base{{top:3px;bottom:3px;border-left:1.5px dashed}}
.track .pin{{top:5px;bottom:5px;width:2px;margin-left:-1px}}
.track .mark{{top:10.5px;width:13px;height:13px;margin-left:-6.5px}}
.mix{{padding-top:.5rem}}
.mix .cells{{display:flex;gap:2px;height:10px;border-radius:5px;overflow:hidden;background:{look.track}}}
.mix .legend{{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.1rem .8rem}}
.mix .legend{{font-size:.87rem;margin-top:.4rem}}
.voices{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(13rem,100%),1fr));gap:1rem 1.6rem}}
.voice{{min-width:0}} .voice h4{{margin:0;padding:0;font-size:.95rem}}
.voice p{{margin:.15rem 0 .35rem}} .voice .answer{{min-height:4.8rem}}
.caret{{display:inline-block;width:2px;height:1.05em;margin-left:2px;vertical-align:text-bottom;background:{look.text}}}
.scores{{width:100%;table-layout:fixed;border-collapse:collapse;font-size:.87rem;margin-top:.4rem}}
.scores th,.scores td{{border:0;border-bottom:1px solid {look.line};padding:.34rem .5rem .34rem 0;font-weight:400}}
.scores td,.scores thead th:not(:first-child){{text-align:right}} .scores th:first-child{{text-align:left}}
.scores thead th:first-child{{width:38%}}
.scores tr:last-child>*{{border-bottom:0}}
@media (max-width:640px){{
.bar,.bar.pinned{{grid-template-columns:minmax(0,1fr) auto;row-gap:0;padding:.25rem 0}}
.bar .track{{grid-column:1/-1;grid-row:2}} .bar .told{{grid-column:1/-1;grid-row:3}}
}}
</style>"""
