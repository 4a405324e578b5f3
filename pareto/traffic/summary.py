"""Served traffic in a few figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pareto.traffic.frame import Floats
from pareto.traffic.log import TrafficLog


def summary(log: TrafficLog, since: float = 0) -> dict[str, Any]:
    """What was served since a time.

    Returns:
        ``requests``, ``users`` (those that are known), ``tokens``, ``first`` and ``last`` (UTC, ``None`` without any
        request), ``statuses``, ``finishes``, ``models`` and ``arms`` (each name → requests), ``stored`` (with their
        text), ``seconds`` and ``first_token`` (``p50``, ``p95``), ``scored``, ``objectives`` (name → ``mean``,
        ``predicted``, ``spread``, ``flagged``; the last two ``None`` without an ensemble), ``feedback`` (``thumbs_up``,
        ``thumbs_down``, ``pairs``).
    """
    frame = log.frame(since, features=False)
    kinds = Counter((f.kind, f.value > 0) for f in log.feedback(since))
    return {
        "requests": len(frame),
        "users": len({*frame.user.tolist()} - {""}),
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
            "thumbs_up": kinds["thumb", True],
            "thumbs_down": kinds["thumb", False],
            "pairs": kinds["pair", True],
        },
    }


def text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"{found['run']}: {found['requests']} requests of {found['users']} known users, {found['tokens']} tokens"]
    if not found["requests"]:
        return lines[0]
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
