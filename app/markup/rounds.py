"""A series of rounds in words, and what an ensemble's members say of a completion, as HTML; free of Streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from app.looks import Look
from app.markup.marks import figure
from app.round_records import Round, Within

NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
SAID = 4
"""So many members' scores are read aloud one by one; of more, the ends."""


def headline(rounds: Sequence[Round]) -> str:
    """What the rounds have brought, in one sentence.

    Args:
        rounds: in order, one or more.
    """
    count = NUMBERS[len(rounds)] if len(rounds) < len(NUMBERS) else str(len(rounds))
    told = [_volume([r.hypervolume for r in rounds]), _gap([r.gap.mean for r in rounds])]
    rest = "; ".join(t for t in told if t) or "no objective has a gold measure, so neither front nor gap can be told"
    return f"{count} round{'' if len(rounds) == 1 else 's'}: {rest}"


def interval(x: Within | None) -> str:
    """``2.6 (2.2 to 3.0)``; a dash where it is not known."""
    if x is None or x.value is None:
        return "–"
    if x.low is None or x.high is None:
        return figure(x.value)
    half = (x.high - x.low) / 2
    return f"{figure(x.value, half)} ({figure(x.low, half)} to {figure(x.high, half)})"


def _volume(values: Sequence[Within | None]) -> str:
    first, last = values[0], values[-1]
    if last is None or last.value is None:
        return ""
    if len(values) == 1 or first is None or first.value is None:
        return f"hypervolume under gold {interval(last)}"
    return f"hypervolume under gold {figure(first.value, _half(last))} → {interval(last)}"


def _gap(values: Sequence[Within | None]) -> str:
    known = [v for v in values if v is not None and v.value is not None]
    if not known:
        return ""
    first, last = known[0], known[-1]
    assert first.value is not None
    assert last.value is not None
    half = _half(last)
    if len(known) == 1:
        return f"the gap between proxy and gold is {interval(last)}"
    ends = f"from {figure(first.value, half)} to {figure(last.value, half)}"
    # Two estimates of different policies: their errors are taken as independent.
    if abs(last.value - first.value) <= math.hypot(_half(first) or 0.0, half or 0.0):
        return f"the gap between proxy and gold went {ends}, no clear difference"
    return f"the gap between proxy and gold {'fell' if last.value < first.value else 'grew'} {ends}"


def _half(x: Within) -> float | None:
    return None if x.low is None or x.high is None else (x.high - x.low) / 2


def headline_html(rounds: Sequence[Round]) -> str:
    """The sentence as the page's first line."""
    return f"<div class='headline' data-role='headline'>{escape(headline(rounds))}</div>"


def line_of_members(scores: Sequence[float], threshold: float | None, look: Look, ends: tuple[float, float]) -> str:
    """What each member of an ensemble gives, as dots on a line; the stripe is their mean ± one standard deviation.

    Args:
        scores: calibrated, nats, one per member; those that are no numbers are left out.
        threshold: the spread above which a completion is to be reviewed; ``None``: not known.
        look: the theme.
        ends: of the line, the same for all completions that are shown beneath each other.
    """
    known = [s for s in scores if math.isfinite(s)]
    if not known:
        return "<div class='mute small'>No member gives a score.</div>"
    mean = sum(known) / len(known)
    spread = math.sqrt(sum((s - mean) ** 2 for s in known) / (len(known) - 1)) if len(known) > 1 else 0.0
    low, high = ends

    def at(value: float) -> float:
        return 100 * (min(max(value, low), high) - low) / (high - low)

    left, right = at(mean - spread), at(mean + spread)
    dots = "".join(f"<i class='dot' style='left:{at(s):.1f}%;background:{look.objectives[0]}'></i>" for s in known)
    listed = ", ".join(figure(s, 0.5) for s in known) if len(known) <= SAID + 2 else ""
    span = listed or f"{figure(min(known), 0.5)} to {figure(max(known), 0.5)}"
    limit = "" if threshold is None else f", {figure(threshold, 0.05)} is the limit"
    told = f"{span}: spread {figure(spread, 0.05)}{limit}"
    return (
        f"<div class='members' role='img' aria-label='{len(known)} members give {escape(told)}'>"
        f"<div class='track'><i class='axis' style='background:{look.track}'></i>"
        f"<i class='stripe' style='left:{left:.1f}%;width:{max(right - left, 0.6):.1f}%'></i>{dots}</div>"
        f"<div class='mute small'>{escape(told)}</div></div>"
    )


def ends(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Of a line that holds all these scores, with some room."""
    known = [s for scores in groups for s in scores if math.isfinite(s)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


def css(look: Look) -> str:
    """Style of these pieces."""
    return f"""<style>
.headline{{font-size:1.2rem;font-weight:620;line-height:1.45;overflow-wrap:anywhere}}
.small{{font-size:.87rem;margin:.2rem 0}}
.wide{{overflow-x:auto}} .wide th,.wide td{{white-space:nowrap}}
.members .track{{position:relative;height:26px;margin:0 6px}} .members .track i{{position:absolute;display:block}}
.members .axis{{left:-6px;right:-6px;top:12px;height:2px}}
.members .stripe{{top:7px;height:12px;border-radius:6px;background:{look.objectives[0]};opacity:.22}}
.members .dot{{top:8px;width:10px;height:10px;margin-left:-5px;border-radius:50%;
box-shadow:0 0 0 1.5px {look.background}}}
</style>"""
