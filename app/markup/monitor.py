"""Served traffic in words and tables, as HTML; free of Streamlit. What people and models wrote is text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

import numpy as np

from app.looks import Look
from app.markup.marks import figure, signed
from app.markup.tiles import tiles
from pareto.traffic.alarms import Alarm
from pareto.traffic.arms import Compared, Measure
from pareto.traffic.frame import Frame

TITLES = {
    "prompts": "Prompts, against the run's",
    "prompts change": "Prompts, against the first served",
    "score": "Rewards of {}",
    "spread": "Spread of {}",
    "flagged": "Answers flagged by {}",
}
WORDS = {"raised": "Alarm", "quiet": "Quiet", "waiting": "Waiting"}
LONGEST = 400
"""Characters of a prompt or an answer."""


def title(name: str) -> str:
    """What an alarm watches, for people."""
    kind, _, objective = name.partition(" ")
    return TITLES.get(name) or TITLES[kind].format(objective)


def headline(frame: Frame, alarms: Sequence[Alarm]) -> str:
    """How things stand, in one sentence."""
    raised = [a for a in alarms if a.state == "raised"]
    served = f"{len(frame)} request{'s' * (len(frame) != 1)}, {int(frame.scored.sum())} scored"
    if raised:
        return f"{len(raised)} alarm{'s' * (len(raised) > 1)} in {served}"
    return f"{'Nothing can be said yet' if all(a.state == 'waiting' for a in alarms) else 'No alarm'}: {served}"


def figures(frame: Frame, look: Look) -> str:
    """What was served, as tiles."""
    users = len({*frame.user.tolist()} - {""})
    rated = frame.thumbs[np.isfinite(frame.thumbs)]
    flags = np.any(list(frame.flagged.values()), axis=0)[frame.scored] if frame.flagged else None
    more = [
        ("Requests", str(len(frame)), f"of {users} known user{'s' * (users != 1)}"),
        ("Scored", str(int(frame.scored.sum())), "a sample, off the request path"),
        (
            "Flagged for review",
            "–" if flags is None or not len(flags) else f"{flags.mean():.1%}",
            "no ensemble scores" if flags is None else "of the scored",
        ),
        ("Thumbs up", f"{(rated > 0).mean():.0%}" if len(rated) else "–", f"of {len(rated)} rated"),
        ("Whole answer", f"{np.percentile(frame.seconds, 95):.1f} s" if len(frame) else "–", "95 % within"),
    ]
    return tiles((), look, {}, {}, {}, more)


def alarm_rows(alarms: Sequence[Alarm]) -> str:
    """Everything that is watched: what is raised first; evidence as a bar that ends at its threshold."""
    order = {"raised": 0, "quiet": 1, "waiting": 2}
    rows = "".join(_alarm(a) for a in sorted(alarms, key=lambda a: order[a.state]))
    return f"<div class=alarms role=list>{rows}</div>"


def _alarm(a: Alarm) -> str:
    share = 0.0 if not len(a.evidence) else 100.0 if a.state == "raised" else 100 * max(a.value, 0.0) / a.threshold
    known = "–" if not len(a.evidence) else "reached" if a.state == "raised" else f"10<sup>{figure(a.value, 0.5)}</sup>"
    of = "" if a.state == "raised" else "of "
    return (
        f"<div class='alarm {a.state}' role=listitem data-alarm='{escape(a.name)}' data-state={a.state}>"
        f"<div class=state>{WORDS[a.state]}</div><div class=what><b>{escape(title(a.name))}</b>"
        f"<span>{escape(a.sentence)}</span></div>"
        f"<div class=level><span>{known} <i>{of}10<sup>{a.threshold:.1f}</sup></i></span>"
        f"<div class=track><div style='width:{min(share, 100):.0f}%'></div></div></div></div>"
    )


def compared_rows(compared: Compared, names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Both arms as a table: its head, its rows."""
    head = ["", "Main", "Candidate", "Difference", "p", "Candidate is", "Users"]
    return head, [_measure(m) for m in sorted(compared.measures, key=lambda m: _place(m, names))]


def _place(m: Measure, names: Sequence[str]) -> tuple[int, int]:
    kind, _, objective = m.name.partition(" ")
    order = ("thumbs", "pairs", "reward", "flagged", "spread")
    return order.index(kind), names.index(objective) if objective in names else -1


def _measure(m: Measure) -> list[str]:
    half = (m.high - m.low) / 2
    kind, _, objective = m.name.partition(" ")
    what = {"thumbs": "Thumbs, −1 to 1", "pairs": "Comparisons won", "reward": objective}.get(kind) or title(m.name)
    known = math.isfinite(half)
    between = f"{signed(m.difference, half)} ({signed(m.low, half)} to {signed(m.high, half)})" if known else "–"
    p = "–" if not math.isfinite(m.adjusted) else "< 0.001" if m.adjusted < 0.001 else f"{m.adjusted:.2g}"
    return [
        what, figure(m.main, half if known else None), figure(m.candidate, half if known else None), between, p,
        m.verdict, f"{m.users[0]} / {m.users[1]}",
    ]  # fmt: skip


def flagged_row(when: float, model: str, by: Mapping[str, float], prompt: str | None, answer: str | None) -> str:
    """One answer on which an ensemble's members disagree; ``prompt`` is ``None`` where texts are not stored."""
    at = f"{datetime.fromtimestamp(when):%d %B %H:%M}"
    doubts = "; ".join(f"{n}: spread {figure(s, 0.05)}" for n, s in by.items())
    said = (
        ""
        if prompt is None
        else f"<div class=said>{escape(_cut(prompt))}</div><div class=answer>{escape(_cut(answer or ''))}</div>"
    )
    return (
        f"<div class=flagged><div class='mute small'>{at} · {escape(model)} · {escape(doubts)}</div>{said}</div>"
    )  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def css(look: Look) -> str:
    """Style of these pieces."""
    return f"""<style>
.alarms{{display:flex;flex-direction:column}}
.alarm{{display:grid;grid-template-columns:5.2rem minmax(0,1fr) 11rem;gap:.2rem 1rem;align-items:center;
padding:.6rem 0;border-bottom:1px solid {look.line}}}
.alarm:last-child{{border-bottom:0}}
.alarm .state{{font-size:.82rem;border:1px solid {look.line};border-radius:99px;padding:.1rem .6rem;
color:{look.muted};justify-self:start}}
.alarm.raised .state{{background:{look.text};border-color:{look.text};color:{look.background};font-weight:620}}
.alarm .what b{{font-weight:600;display:block}} .alarm .what span{{color:{look.muted};font-size:.92rem;
overflow-wrap:anywhere}}
.alarm.raised .what span{{color:{look.text}}}
.alarm .level{{font-size:.86rem;text-align:right}} .alarm .level i{{font-style:normal;color:{look.muted}}}
.alarm sup{{font-size:.72em;line-height:0}}
.alarm .track{{height:7px;border-radius:4px;background:{look.track};overflow:hidden;margin-top:.25rem}}
.alarm .track div{{height:100%;border-radius:4px;background:{look.muted}}}
.alarm.raised .track div{{background:{look.text}}}
.flagged{{padding:.6rem 0;border-bottom:1px solid {look.line}}} .flagged:last-child{{border-bottom:0}}
@media (max-width:640px){{.alarm{{grid-template-columns:5.2rem minmax(0,1fr)}}
.alarm .level{{grid-column:2;text-align:left}}}}
</style>"""
