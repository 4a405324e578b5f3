"""What follows from labels: pairs to learn from, contradictions, and what it took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pareto.preferences.annotation.annotator import Failure
from pareto.records import Label, Pair


def pairs(labels: Sequence[Label], half_life: float | None = None, round: int | None = None) -> list[Pair]:
    """What a reward model learns from: one pair per label; a tie's target is ½, a skipped question gives none.

    An annotator who gives the same answer to the same question in several rounds counts once, with the latest.

    Args:
        labels: of one objective.
        half_life: after so many rounds a label counts half; ``None``: all count alike.
        round: as seen from this round, later labels left out; ``None``: the latest.
    """
    now = max((x.round for x in labels), default=0) if round is None else round
    once: dict[tuple[Any, ...], Label] = {}
    for x in sorted(labels, key=lambda x: x.round):
        if x.answer != "skip" and x.round <= now:
            once[x.key, x.annotator, x.answer] = x
    return [pair(x, 1.0 if half_life is None else 0.5 ** ((now - x.round) / half_life)) for x in once.values()]


def pair(label: Label, remains: float = 1.0) -> Pair:
    """One label as a pair; ``remains``: what its age leaves of its weight. A tie's chosen one is ``first``."""
    chosen, rejected = (label.second, label.first) if label.answer == "second" else (label.first, label.second)
    return Pair(
        prompt=label.prompt,
        chosen=chosen,
        rejected=rejected,
        target=0.5 if label.answer == "tie" else 1.0,
        weight=label.strength * remains,
        annotator=label.annotator,
        round=label.round,
    )


def contradictions(labels: Sequence[Label]) -> list[list[Label]]:
    """Labels of the same question, by one annotator or several, that say both; all of them count."""
    by_key: dict[tuple[str, ...], list[Label]] = defaultdict(list)
    for label in labels:
        if label.answer in ("first", "second"):
            by_key[label.key].append(label)
    return [found for found in by_key.values() if len({label.answer for label in found}) > 1]


def spent(labels: Sequence[Label], failures: Sequence[Failure]) -> dict[str, Any]:
    """What the labels took.

    Returns:
        ``labels``, ``cost`` (with that of calls which gave no label), ``failed`` (such questions), and ``rows``, one
        per objective, round and annotator: objective, round, annotator, who, labels, ties, skipped, cost.
    """
    rows: dict[tuple[str, int, str, str], dict[str, Any]] = {}
    for x in labels:
        row = rows.setdefault(
            (x.objective, x.round, x.annotator, x.who),
            {"objective": x.objective, "round": x.round, "annotator": x.annotator, "who": x.who}
            | {"labels": 0, "ties": 0, "skipped": 0, "cost": 0.0},
        )
        row["labels"] += 1
        row["ties"] += x.answer == "tie"
        row["skipped"] += x.answer == "skip"
        row["cost"] += x.cost
    return {
        "labels": len(labels),
        "cost": sum(x.cost for x in labels) + sum(f.cost for f in failures),
        "failed": len(failures),
        "rows": [rows[key] for key in sorted(rows)],
    }
