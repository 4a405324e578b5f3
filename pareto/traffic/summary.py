"""Served traffic in a few figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pareto.traffic.frame import Floats, by_whom
from pareto.traffic.latest import latest
from pareto.traffic.log import TrafficLog


def summary(log: TrafficLog, since: float = 0) -> dict[str, Any]:
    """What was served since a time.

    Returns:
        ``requests``, ``users`` (those that are known), ``anonymous`` (requests without one), ``tokens``, ``first`` and
        ``last`` (UTC, ``None`` without any request), ``statuses``, ``finishes``, ``models`` and ``arms`` (each name →
        requests), ``stored`` (with their text), ``seconds`` and ``first_token`` (``p50``, ``p95``), ``scored``,
        ``objectives`` (name → ``mean``, ``predicted``, ``spread``, ``flagged``; the last two ``None`` without an
        ensemble), ``feedback`` on these requests (``thumbs_up``, ``thumbs_down``, ``pairs``; who changes their mind
        counts once), ``lost`` (``records`` that servers could not log, ``reason``).
    """
    frame = log.frame(since, features=False)
    asked_by, missed = dict(zip(frame.id, frame.user.tolist(), strict=True)), log.missed(since)
    pairs = latest([f for f in log.feedback() if f.kind == "pair" and {f.served, f.other} & {*asked_by}], asked_by)
    return {
        "requests": len(frame),
        "users": frame.users,
        "anonymous": frame.anonymous,
        "tokens": int(frame.tokens.sum()),
        "first": _utc(frame.time[:1]),
        "last": _utc(frame.time[-1:]),
        "statuses": _counts(map(str, frame.status.tolist())),
        "finishes": _counts(frame.finish.tolist()),
        "models": _counts(frame.model.tolist()),
        "arms": _counts(frame.arm.tolist()),
        "stored": log.stored(since),
        "seconds": _quantiles(frame.seconds),
        "first_token": _quantiles(frame.first_token),
        "scored": int(frame.scored.sum()),
        "objectives": {
            name: {
                "mean": _mean(scores),
                "predicted": _mean(frame.predicted.get(name)),
                "spread": _mean(frame.spreads.get(name)),
                "flagged": int(frame.flagged[name].sum()) if name in frame.flagged else None,
            }
            for name, scores in sorted(frame.scores.items())
        },
        "feedback": {
            "thumbs_up": frame.ups,
            "thumbs_down": int(frame.rated.sum()) - frame.ups,
            "pairs": len(pairs),
        },
        "lost": {"records": missed.records, "reason": missed.reason},
    }


def text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    whose = by_whom(found["users"], found["anonymous"])
    lines = [f"{found['run']}: {found['requests']} requests of {whose}, {found['tokens']} tokens"]
    if lost := found["lost"]["records"]:
        lines.append(f"not logged: {lost} records ({found['lost']['reason']})")
    if not found["requests"]:
        return "\n".join(lines)
    lines.append(f"from {found['first']} to {found['last']}; {found['stored']} with their text")
    lines += [
        f"{what}: " + ", ".join(f"{name or 'none'} {n}" for name, n in found[key].items())
        for what, key in (("status", "statuses"), ("ended by", "finishes"), ("models", "models"), ("arms", "arms"))
    ]
    for what, key in (("whole answer", "seconds"), ("first token", "first_token")):
        if found[key]:
            lines.append(f"{what}: half within {found[key]['p50']:.2f} s, 95 % within {found[key]['p95']:.2f} s")
    lines.append(f"scored: {found['scored']}")
    for name, of in found["objectives"].items():
        line = f"  {name}: mean {_shown(of['mean'])}, predicted {_shown(of['predicted'])}"
        line += "" if of["flagged"] is None else f", spread {_shown(of['spread'])}, {of['flagged']} for review"
        lines.append(line)
    said = found["feedback"]
    lines.append(f"feedback: {said['thumbs_up']} up, {said['thumbs_down']} down, {said['pairs']} pairs")
    return "\n".join(lines)


def _utc(times: Floats) -> str | None:
    return datetime.fromtimestamp(times[0], UTC).isoformat(timespec="seconds") if len(times) else None


def _counts(names: Any) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _mean(values: Floats | None) -> float | None:
    kept = np.empty(0) if values is None else values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else None


def _quantiles(values: Floats) -> dict[str, float] | None:
    kept = values[~np.isnan(values)]
    return {f"p{q}": float(np.percentile(kept, q)) for q in (50, 95)} if len(kept) else None


def _shown(number: float | None) -> str:
    return "none" if number is None else f"{number:.3g}"
