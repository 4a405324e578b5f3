"""A policy's figures as HTML: one tile per objective, and the table of a funnel; free of Streamlit."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.scene import Z95
from app.looks import Look, glyph
from pareto.front.looks import number

Difference = tuple[float, float, int]
"""Mean, standard error, prompts."""


def css(look: Look) -> str:
    """Style of the tiles, the funnel and the tags."""
    return f"""<style>
.tiles{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(9.5rem,100%),1fr));gap:1.1rem 1.4rem}}
.tile .name{{font-size:.87rem;color:{look.muted}}}
.tile .big{{font-size:1.45rem;font-weight:620;line-height:1.35}}
.tile .big small{{font-size:.9rem;font-weight:400;color:{look.muted};margin-left:.35rem}}
.tile .note{{font-size:.84rem;color:{look.muted}}}
.tag{{display:inline-block;border:1px solid {look.line};border-radius:99px;padding:.05rem .6rem;font-size:.82rem;
color:{look.muted};margin-left:.5rem;vertical-align:.12em;font-weight:400}}
[data-testid=stPageLink] a{{border:1px solid {look.line};border-radius:10px;padding:.3rem .8rem;margin:0;
min-height:2.5rem}}
[data-testid=stPageLink] a:hover{{border-color:{look.muted}}}
.beside{{height:4.55rem;display:flex;align-items:end}}
@media (max-width:640px){{.beside{{height:auto}}}}
.policy{{font-size:1.15rem;font-weight:620;overflow-wrap:anywhere}}
.funnel{{display:flex;flex-direction:column;gap:.55rem}}
.funnel .count{{font-size:1.5rem;font-weight:620;line-height:1.3}}
.funnel .count span{{color:{look.muted};font-weight:400}}
.funnel .step{{display:grid;grid-template-columns:minmax(0,1fr) 3.2rem;gap:.2rem .8rem;align-items:end}}
.funnel .step .what{{font-size:.9rem;overflow-wrap:anywhere}}
.funnel .step .left{{text-align:right;font-weight:600}}
.funnel .track{{grid-column:1/3;height:7px;border-radius:4px;background:{look.track};overflow:hidden}}
.funnel .track div{{height:100%;border-radius:4px;background:{look.objectives[0]}}}
.checks{{border-collapse:collapse;width:100%;font-size:.92rem}}
.checks td,.checks th{{text-align:left;padding:.35rem .9rem .35rem 0;border-bottom:1px solid {look.line};
vertical-align:top;overflow-wrap:anywhere}}
.checks th,.checks td:first-child{{white-space:nowrap}}
.checks th{{font-weight:500;color:{look.muted};font-size:.84rem}}
</style>"""


def decimals(spread: float) -> int:
    """Decimals that show two figures of a standard error."""
    return min(max(1 - math.floor(math.log10(spread)), 0), 6) if spread > 0 and math.isfinite(spread) else 3


def fixed(value: float, digits: int, sign: bool = False) -> str:
    """A number with so many decimals and a true minus sign."""
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def against(difference: Difference | None, digits: int, whom: str) -> str:
    """A paired difference in words, with its 95 % interval; "no clear difference" where that covers 0."""
    if difference is None or not math.isfinite(difference[0]):
        return ""
    mean, se, _ = difference
    if not math.isfinite(se):
        return f"{fixed(mean, digits, sign=True)} to {whom}"
    low, high = mean - Z95 * se, mean + Z95 * se
    if low <= 0 <= high:
        return f"no clear difference to {whom}"
    return f"{fixed(mean, digits, sign=True)} to {whom} ({fixed(low, digits)} to {fixed(high, digits)})"


def tiles(
    names: Sequence[str],
    look: Look,
    mean: Mapping[str, float | None],
    half: Mapping[str, float | None],
    notes: Mapping[str, str],
    more: Sequence[tuple[str, str, str]] = (),
) -> str:
    """One tile per objective and one for everything else that is known.

    Args:
        names: objectives in order.
        look: colours.
        mean: objective → value, own units; ``None`` or NaN: not measured.
        half: objective → what stands behind ±.
        notes: objective → the line beneath.
        more: further tiles: name, value, note.
    """
    made = []
    for k, name in enumerate(names):
        value, spread = mean.get(name), half.get(name)
        known = value is not None and math.isfinite(value)
        sure = spread is not None and math.isfinite(spread)
        digits = decimals(spread) if sure and spread is not None else 3
        big = fixed(value, digits) if known and value is not None else "–"
        small = f"±{fixed(spread, digits)}" if sure and known and spread is not None else ""
        mark = f"<span aria-hidden=true style='color:{look.colour(k)}'>{glyph(k)}</span> "
        made.append(_tile(mark + html.escape(name), big, small, notes.get(name, "")))
    made += [_tile(html.escape(name), value, "", note) for name, value, note in more]
    return f"<div class=tiles>{''.join(made)}</div>"


def extras(row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """KL, gold measures and the chance to be on the front, as tiles."""
    made = []
    if row["kl"] is not None:
        made.append(("KL to the base", number(row["kl"]), "nats per token"))
    made += [(n, number(v), "held out, never trained on") for n, v in row["gold"].items() if v is not None and v == v]
    if row["p_nondominated"] is not None:
        made.append(("on the front", f"{100 * row['p_nondominated']:.0f} %", "of redraws of the prompts"))
    return made


def funnel(steps: Sequence[tuple[str, int]], total: int) -> str:
    """How many policies each step leaves: the counts in one line, then a bar per step.

    Args:
        steps: what a step asks and how many it leaves, in order.
        total: how many there are.
    """
    counts = " <span>→</span> ".join(str(n) for n in [total, *[n for _, n in steps]])
    rows = "".join(
        f"<div class=step><div class=what>{html.escape(what)}</div><div class=left>{n}</div>"
        f"<div class=track><div style='width:{100 * n / total:.1f}%'></div></div></div>"
        for what, n in steps
    )
    return f"<div class=funnel role=group><div class=count>{counts} <span>left</span></div>{rows}</div>"


def sheet(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A small table of text."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table class=checks><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _tile(name: str, big: str, small: str, note: str) -> str:
    """``name`` is HTML already; the rest is text."""
    sure = f"<small>{html.escape(small)}</small>" if small else ""
    below = f"<div class=note>{html.escape(note)}</div>" if note else ""
    return f"<div class=tile><div class=name>{name}</div><div class=big>{html.escape(big)}{sure}</div>{below}</div>"
