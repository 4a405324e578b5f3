"""What people said of served answers, as comparisons that rounds learn from.

A pair is a comparison as it stands. Thumbs become comparisons where the same prompt was answered at least twice, once
well and once badly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.store.files import to_json, write_text
from pareto.store.run import Run
from pareto.traffic.latest import latest
from pareto.traffic.log import TrafficLog
from pareto.traffic.records import Feedback, Served

THUMBS = "thumbs"
"""Annotator of what follows from several people's thumbs."""
USER_DIGITS = 16
"""Of a user's key, in the name of an annotator."""


@dataclass(frozen=True)
class Labels:
    """Comparisons from traffic, and why there are not more."""

    rows: list[dict[str, Any]]
    """With ``prompt``, ``chosen``, ``rejected``, ``strength``, ``tie``, ``annotator`` and ``objective``, as
    ``read_pairs`` takes them."""
    left_out: dict[str, int]
    """Why feedback became no comparison → how often."""

    @property
    def problems(self) -> list[str]:
        """A line for each reason."""
        return [f"feedback left out ({count}): {why}" for why, count in self.left_out.items()]


def labels(log: TrafficLog, run: Run, objective: str | None = None) -> Labels:
    """What feedback says.

    Args:
        log: with stored prompts and answers.
        run: that it belongs to.
        objective: by which feedback was meant that names none; ``None``: such feedback is left out.

    Raises:
        ParetoError: the run has no such objective; nothing in the log can be compared; it cannot be read.
    """
    names = run.recipe.names
    if objective is not None and objective not in names:
        raise ParetoError(f"run '{run.name}' has no objective '{objective}'; {suggest(objective, names)}")
    meant = objective or ""
    rated = log.rated()
    out: dict[str, int] = defaultdict(int)
    usable = []
    for f in latest(log.feedback(), {id: s.user for id, s in rated.items()}):
        why = _unusable(f, meant, rated, names)
        if why:
            out[why] += 1
        else:
            usable.append(f)
    rows = [_of_pair(f, f.objective or meant, rated) for f in usable if f.kind == "pair"]
    thumbs = [f for f in usable if f.kind == "thumb"]
    of_thumbs, alone = _of_thumbs(thumbs, meant, rated)
    out["the prompt has no answer with the other thumb"] += alone
    found = Labels([*rows, *of_thumbs], {why: count for why, count in out.items() if count})
    if not found.rows:
        why = "; ".join(found.problems) or "nobody has given feedback"
        raise ParetoError(f"run '{run.name}': no comparisons in its traffic: {why}")
    return found


def write_labels(rows: Sequence[Mapping[str, Any]], out: str | Path) -> None:
    """Rows of ``Labels`` as JSON lines, the file replaced in one step; raises ParetoError on a full disk."""
    write_text(out, "".join(to_json(row) + "\n" for row in rows))


def _unusable(f: Feedback, meant: str, rated: Mapping[str, Served], names: Sequence[str]) -> str:
    """Why feedback teaches nothing; '' where it does."""
    if not (f.objective or meant):
        return (
            "no objective is named; say which is meant: `traffic labels --objective NAME`, `rounds --traffic NAME=RUN`"
        )
    if f.objective and f.objective not in names:
        return f"another objective than {', '.join(names)} is named"
    asked = [rated.get(id) for id in (f.served, f.other) if id]
    if any(s is None or s.prompt is None or not (s.answer or "").strip() for s in asked):
        return "the prompt or the answer is not stored (`pareto serve --store-prompts` stores them)"
    if any(s.turns > 1 or s.n > 1 for s in asked if s):
        return "the conversation has several turns, or several answers were given at once"
    if f.kind == "pair" and len({(s.answer or "").strip() for s in asked if s}) < 2:
        return "both answers are the same text"
    return ""


def _of_pair(f: Feedback, objective: str, rated: Mapping[str, Served]) -> dict[str, Any]:
    better, worse = rated[f.served], rated[f.other]
    user = f.user or better.user
    annotator = f"user:{user[:USER_DIGITS]}" if user else "user"
    return _row(better.prompt, better.answer, worse.answer, 1.0, f.value == 0.5, annotator, objective)


def _of_thumbs(said: Sequence[Feedback], meant: str, rated: Mapping[str, Served]) -> tuple[list[dict[str, Any]], int]:
    """Answers with more thumbs up against those with more down, and how many thumbs have nothing to stand against.

    Each answer takes part once, or as often as the rarer side has to be used again, so that a prompt that many ask
    does not outweigh all others.
    """
    given: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for f in said:
        s = rated[f.served]
        given[(s.prompt or "").strip(), f.objective or meant][(s.answer or "").strip()].append(f.value)
    rows, alone = [], 0
    for (prompt, objective), answers in given.items():
        means = {answer: sum(values) / len(values) for answer, values in answers.items()}
        up, down = [a for a in means if means[a] > 0], [a for a in means if means[a] < 0]
        if not (up and down):
            alone += sum(map(len, answers.values()))
        for good, bad in _matched(up, down):
            rows.append(_row(prompt, good, bad, (means[good] - means[bad]) / 2, False, THUMBS, objective))
    return rows, alone


def _matched(up: Sequence[str], down: Sequence[str]) -> Iterator[tuple[str, str]]:
    if up and down:
        for k in range(max(len(up), len(down))):
            yield up[k % len(up)], down[k % len(down)]


def _row(
    prompt: str | None, chosen: str | None, rejected: str | None, strength: float, tie: bool, by: str, objective: str
) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "strength": strength,
        "tie": tie,
        "annotator": by,
        "objective": objective,
    }
