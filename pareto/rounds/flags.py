"""What a round's record says in words: warnings, and whether to stop. Works on records as they are stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def flags(record: Record, last: Record | None) -> list[str]:
    """One line for every objective whose proxy runs away from gold, the worst first, or whose reward models disagree.

    Args:
        record: a round's, with ``front``, ``gap``, ``spread`` and ``rewards``.
        last: of the round before.
    """
    by_objective = record["gap"]["by_objective"]
    lines = []
    for name, gap in sorted(by_objective.items(), key=lambda item: -item[1]["value"] if item[1] else math.inf):
        if gap is None:
            lines.append(
                f"{name}: it has no gold reward, so its gap cannot be known; only what its reward models say is shown"
            )
            continue
        before = None if last is None else last["gap"]["by_objective"].get(name)
        if gap["low"] > 0 and (before is None or gap["value"] > before["value"]):
            proxy, gold = (_mean(record, side, name) for side in ("proxy", "gold"))
            grown = "" if before is None else f"; {_signed(before['value'])} the round before"
            lines.append(
                f"{name}: the proxy says {_signed(proxy)}, gold says {_signed(gold)} over the base on this front "
                f"(gap {_signed(gap['value'])}, {_signed(gap['low'])} to {_signed(gap['high'])}{grown}): the policies "
                "win what its reward models pay too much for"
            )
    for name, spread in record["spread"].items():
        if spread["fires"]:
            lines.append(
                f"{name}: the reward models disagree on {spread['share']:.0%} of the new policies' answers, where "
                f"{spread['expected']:.0%} were expected (p = {spread['p']:.2g}): these are not like what was labelled"
            )
    for name, reward in record["rewards"].items():
        lines += [f"{name}: member {dropped['member']} was dropped: {dropped['why']}" for dropped in reward["dropped"]]
    return lines


def stop_reason(record: Record, widened: Mapping[str, float] | None) -> str | None:
    """Why another round is not worth its labels; ``None``: it may be.

    Args:
        record: the last round's, with ``gain``.
        widened: interval of the mean gap minus that of the round before.
    """
    gain = record["gain"]
    if widened is not None and widened["low"] > 0:
        return (
            f"the gap between proxy and gold widened by {widened['value']:.2f} ({widened['low']:.2f} to "
            f"{widened['high']:.2f}) in round {record['round']}"
        )
    if gain is not None and gain["low"] <= 0:
        return (
            f"round {record['round']} gained {_signed(gain['value'])} in hypervolume, {_signed(gain['low'])} to "
            f"{_signed(gain['high'])}: no more than noise"
        )
    return None


def _mean(record: Record, side: str, name: str) -> float:
    values = [p[side][name] for p in record["front"] if p["selected"] and p[side][name] is not None]
    return float(sum(values) / len(values))


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
