"""Served traffic in words and tables, as HTML; free of Streamlit. What people and models wrote is text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from app.looks import Look
from app.markup.marks import figure, signed
from app.markup.tiles import tiles
from pareto.traffic.alarms import Alarm
from pareto.traffic.arms import Compared, Measure
from pareto.traffic.frame import Frame, by_whom
from pareto.traffic.records import Served

TITLES = {
    "prompts": "Prompts, against the run's",
    "prompts change": "Prompts, against the first served",
    "score": "Rewards of {}",
    "spread": "Spread of {}",
    "flagged": "Answers flagged by {}",
}
WORDS = {"raised": "Alarm", "quiet": "Quiet", "waiting": "Waiting"}
FIRST, LONGEST = 160, 4000
"""Characters of a prompt before it is opened, and of each text then."""
HIDDEN = (*range(9), *range(11, 32), 0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Controls, and what turns the direction of writing round."""
VISIBLE = {c: f"\\x{c:02x}" if c < 256 else f"\\u{c:04x}" for c in HIDDEN}


def title(name: str) -> str:
    """What an alarm watches, for people."""
    kind, _, objective = name.partition(" ")
    return TITLES.get(name) or TITLES[kind].format(objective)


def headline(frame: Frame, alarms: Sequence[Alarm]) -> str:
    """How things stand, one request or more, in a line."""
    raised = [a for a in alarms if a.state == "raised"]
    served = f"{len(frame):,} request{'s' * (len(frame) != 1)}, {int(frame.scored.sum()):,} scored"
    if raised:
        return f"{len(raised)} alarm{'s' * (len(raised) > 1)} in {served}"
    return f"{'Nothing can be said yet' if all(a.state == 'waiting' for a in alarms) else 'No alarm'}: {served}"


def figures(frame: Frame, look: Look) -> str:
    """What was served, one request or more, as tiles."""
    flags = np.any(list(frame.flagged.values()), axis=0)[frame.scored] if frame.flagged else np.empty(0)
    more = [
        ("Requests", f"{len(frame):,}", f"of {by_whom(frame.users, frame.anonymous)}"),
        ("Scored", f"{int(frame.scored.sum()):,}", "a sample, beside the serving"),
        ("Flagged for review", *(_share(flags, "scored") if frame.flagged else ("–", "no ensemble scores"))),
        ("Thumbs up", *_share(np.arange(frame.rated.sum()) < frame.ups, "rated")),
        ("Whole answer", f"{np.percentile(frame.seconds, 95):.1f} s", "95 % within"),
    ]
    return tiles((), look, {}, {}, {}, more)


def _share(hits: NDArray[Any], of: str) -> tuple[str, str]:
    """A share with its 95 % interval (Clopper and Pearson 1934), and of how many it is."""
    n, found = len(hits), int(np.count_nonzero(hits))
    if not n:
        return "–", f"none is {of}"
    low, high = binomtest(found, n).proportion_ci(method="exact")
    return f"{100 * found / n:.0f} %", f"{100 * low:.0f} to {100 * high:.0f} %, of {n:,} {of}"


def span(frame: Frame) -> str:
    """From when to when."""
    first, last = (f"{datetime.fromtimestamp(t):%d %B %H:%M}" for t in frame.time[[0, -1]].tolist())
    return f"{first} to {last}, by the clock of this machine."


def alarm_rows(alarms: Sequence[Alarm]) -> str:
    """What is watched; evidence as a bar that ends at its threshold."""
    return f"<div class=alarms role=list>{''.join(map(_alarm, alarms))}</div>"


def _alarm(a: Alarm) -> str:
    share = 0.0 if not len(a.evidence) else 100.0 if a.state == "raised" else 100 * max(a.value, 0.0) / a.threshold
    known = "" if not len(a.evidence) else "reached" if a.state == "raised" else times(a.value)
    return (
        f"<div class='alarm {a.state}' role=listitem data-alarm='{escape(a.name)}' data-state={a.state}>"
        f"<div class=state>{WORDS[a.state]}</div><div class=what><b>{escape(title(a.name))}</b>"
        f"<span>{escape(a.sentence)}</span></div>"
        f"<div class=level><div class=ends><b>{known}</b><span>alarm at {times(a.threshold)}</span></div>"
        f"<div class=track><div style='width:{min(share, 100):.0f}%'></div></div></div></div>"
    )


def times(power: float) -> str:
    """A power of ten as a number of two figures."""
    return f"{round(10**power, 1 - math.floor(power)):,.{0 if power >= 1 else 1}f}"


def compared_rows(compared: Compared, names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Both arms as a table: its head, its rows."""
    head = ["Mean over users", "Main", "Candidate", "Difference", "p", "Candidate is", "Users"]
    return head, [_measure(m) for m in sorted(compared.measures, key=lambda m: _place(m, names))]


def _place(m: Measure, names: Sequence[str]) -> tuple[int, int]:
    kind, _, objective = m.name.partition(" ")
    order = ("thumbs", "pairs", "reward", "flagged", "spread")
    return order.index(kind), names.index(objective) if objective in names else -1


def _measure(m: Measure) -> list[str]:
    half = (m.high - m.low) / 2
    kind, _, objective = m.name.partition(" ")
    what = {"thumbs": "Thumbs, −1 to 1", "pairs": "Comparisons won"}.get(kind) or title(
        f"score {objective}" if kind == "reward" else m.name
    )
    known = math.isfinite(half)
    between = f"{signed(m.difference, half)} ({signed(m.low, half)} to {signed(m.high, half)})" if known else "–"
    p = "–" if not math.isfinite(m.adjusted) else "< 0.001" if m.adjusted < 0.001 else f"{m.adjusted:.2g}"
    return [
        what, figure(m.main, half if known else None), figure(m.candidate, half if known else None), between, p,
        m.verdict, f"{m.users[0]} / {m.users[1]}",
    ]  # fmt: skip


def request_row(served: Served, spreads: Mapping[str, float] | None = None) -> str:
    """One request, to be opened where its text is kept.

    Args:
        served: it.
        spreads: objective whose ensemble flags the answer → spread.
    """
    doubts = [f"{name}: spread {figure(spread, 0.05)}" for name, spread in (spreads or {}).items()]
    about = " · ".join([f"{datetime.fromtimestamp(served.time):%d %B %H:%M}", served.model, *doubts])
    if served.prompt is None:
        return f"<div class=request><div class='mute small'>{_text(f'{about} · {served.id}')}</div></div>"
    first = " ".join(served.prompt[:LONGEST].split())
    return (
        f"<details class=request><summary><div class='mute small'>{_text(about)}</div>"
        f"<div class=first dir=auto>{_text(first, FIRST)}</div></summary>"
        f"<div class='mute small'>Prompt</div><div class='said text' dir=auto>{_text(served.prompt)}</div>"
        f"<div class='mute small'>Answer</div><div class='answer text' dir=auto>{_text(served.answer or '')}</div>"
        "</details>"
    )


def _text(text: str, longest: int = LONGEST) -> str:
    """What somebody wrote, as HTML that shows it and does nothing else."""
    rest = len(text) - longest
    shown = escape(text[:longest].translate(VISIBLE)) or "<i>empty</i>"
    return shown if rest <= 0 else f"{shown}… <i class=mute>{rest:,} more characters</i>"


def css(look: Look) -> str:
    """Style of these pieces."""
    return f"""<style>
.alarms{{display:flex;flex-direction:column}}
.alarm{{display:grid;grid-template-columns:5.2rem minmax(0,1fr) 13rem;gap:.2rem 1rem;align-items:center;
padding:.6rem 0;border-top:1px solid {look.line}}}
.alarm .state{{font-size:.82rem;border:1px solid {look.line};border-radius:99px;padding:.1rem .6rem;
color:{look.muted};justify-self:start}}
.alarm.raised .state{{background:{look.text};border-color:{look.text};color:{look.background};font-weight:620}}
.alarm .what b{{font-weight:600;display:block}} .alarm .what span{{color:{look.muted};font-size:.92rem;
overflow-wrap:anywhere}}
.alarm.raised .what span{{color:{look.text}}}
.alarm .level{{font-size:.86rem}}
.alarm .ends{{display:flex;justify-content:space-between;gap:.6rem;white-space:nowrap}}
.alarm .ends b{{font-weight:600}} .alarm .ends span{{color:{look.muted};margin-left:auto}}
.alarm .track{{height:7px;border-radius:4px;background:{look.track};overflow:hidden;margin-top:.25rem}}
.alarm .track div{{height:100%;border-radius:4px;background:{look.muted}}}
.alarm.raised .track div{{background:{look.text}}}
.request{{padding:.6rem 0;border-top:1px solid {look.line}}}
.request summary{{cursor:pointer;display:grid;grid-template-columns:1.2rem minmax(0,1fr);list-style:none}}
.request summary::-webkit-details-marker{{display:none}}
.request summary::before{{content:'›';color:{look.muted};grid-row:1/3}}
.request[open] summary::before{{rotate:90deg;place-self:start;width:.6rem;text-align:center}}
.request summary>*{{grid-column:2}} .request .first{{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}}
.request[open] .first{{display:none}}
.request .text{{max-height:18rem;overflow-y:auto;margin-bottom:.5rem}}
.request[open]>*:not(summary){{margin-left:1.2rem}}
.request i{{font-style:normal}}
@media (max-width:640px){{.alarm{{grid-template-columns:5.2rem minmax(0,1fr)}}
.alarm .level{{grid-column:2}} .alarm .state{{align-self:start}}}}
</style>"""
