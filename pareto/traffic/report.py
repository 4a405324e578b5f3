"""What alarms say, for programs and on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pareto.traffic.alarms import Alarm
from pareto.traffic.log import TrafficLog

LONGEST = 200
"""Characters of a prompt on a terminal."""


def told(log: TrafficLog, alarms: Sequence[Alarm]) -> list[dict[str, Any]]:
    """Of each alarm ``name``, ``state``, ``since`` (UTC), ``value``, ``threshold`` (log10 of evidence), ``sentence``,
    and the ``requests`` that it names: ``id``, ``time``, ``prompt``, ``answer`` (the last two ``None`` where no text is
    kept).

    Raises:
        ParetoError: the log cannot be read.
    """
    named = log.named([id for alarm in alarms for id in alarm.examples])
    return [
        {
            "name": a.name,
            "state": a.state,
            "since": None if a.since is None else _utc(a.since),
            "value": a.value if math.isfinite(a.value) else None,
            "threshold": a.threshold,
            "sentence": a.sentence,
            "requests": [
                {"id": s.id, "time": _utc(s.time), "prompt": s.prompt, "answer": s.answer}
                for s in (named[id] for id in a.examples if id in named)  # else deleted meanwhile
            ],
        }
        for a in alarms
    ]


def text(run: str, found: Sequence[Mapping[str, Any]]) -> str:
    """The same for people."""
    raised = [a for a in found if a["state"] == "raised"]
    lines = [f"{run}: {len(raised)} of {len(found)} alarms raised"]
    lines += [f"{a['state']:8}{a['name']}: {a['sentence']}" for a in found]
    for a in raised:
        lines.append(f"{a['name']}, the most unusual requests since:")
        lines += [f"  {r['id']}  {_short(r['prompt'])}" for r in a["requests"]]
    return "\n".join(lines)


def _utc(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def _short(prompt: str | None) -> str:
    if prompt is None:
        return "(its text is not kept: --store-prompts)"
    line = " ".join(prompt.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
