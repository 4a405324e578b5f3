"""Served traffic as columns, for whoever counts, tests or draws it."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.traffic.latest import latest
from pareto.traffic.records import Feedback, ScoredAnswer
from pareto.traffic.tables import parsed, select, unpack

Floats = NDArray[np.float64]
_COLUMNS = "id, time, arm, user, model, status, finish, prompt_tokens, tokens, n, queued, first_token, seconds"


@dataclass(frozen=True)
class Frame:
    """n requests in the order of time; (n,) arrays unless said."""

    id: list[str]
    time: Floats
    """Seconds since 1970."""
    arm: NDArray[np.str_]
    """``main`` or ``candidate``."""
    user: NDArray[np.str_]
    """Key of who asked; '' where that is not known."""
    model: NDArray[np.str_]
    status: NDArray[np.int64]
    """Of HTTP."""
    finish: NDArray[np.str_]
    prompt_tokens: NDArray[np.int64]
    tokens: NDArray[np.int64]
    """Drawn in all answers."""
    answers: NDArray[np.int64]
    """That were given."""
    queued: Floats
    """Seconds."""
    first_token: Floats
    """Seconds; NaN where there was none."""
    seconds: Floats
    weights: dict[str, Floats]
    """Objective → the preference; NaN where none was given."""
    scored: NDArray[np.bool_]
    """Whether rewards have looked at it."""
    scored_at: Floats
    """When; NaN where they have not."""
    scores: dict[str, Floats]
    """Objective → reward; NaN where it was not scored or does not apply."""
    spreads: dict[str, Floats]
    """Objective of an ensemble → spread among its members; NaN as above."""
    predicted: dict[str, Floats]
    """Objective → mean that was predicted for the place; NaN as above."""
    flagged: dict[str, NDArray[np.bool_]]
    """Objective → whether its ensemble wants a person to look."""
    thumbs: Floats
    """Mean of the thumbs, −1 to 1; NaN without any."""
    rated: NDArray[np.int64]
    """How many thumbs that are: of each user, by each objective, the last."""
    wins: Floats
    """Mean over the pairs that name it, 1 where it is better, ½ where neither is, 0 where the other is; NaN without."""
    featured: NDArray[np.int64]
    """(m,) rows whose prompts' features are known."""
    features: NDArray[np.float32]
    """(m, d) features of these prompts; (0, 0) where none is known or none was asked for."""

    def __len__(self) -> int:
        return len(self.id)

    @property
    def ups(self) -> int:
        """Thumbs up, of ``rated.sum()``."""
        return int((self.rated * (1 + np.nan_to_num(self.thumbs)) / 2).round().sum())

    @property
    def users(self) -> int:
        """Users that are known."""
        return len({*self.user.tolist()} - {""})

    @property
    def anonymous(self) -> int:
        """Requests that do not say of whom they are."""
        return int((self.user == "").sum())


def by_whom(users: int, anonymous: int) -> str:
    """Both counts in words."""
    known = f"{users:,} known user{'s' * (users != 1)}"
    return f"{known}, {anonymous:,} without one" if anonymous else known


def read_frame(session: sqlite3.Connection, since: float, features: bool) -> Frame:
    """What ``TrafficLog.frame`` gives, within the session's transaction."""
    rows = session.execute(f"select {_COLUMNS}, weights from served where time >= ? order by time, rowid", (since,))
    columns: list[Any] = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(14)]
    (ids, times, arms, users, models, statuses, finishes, asked, tokens, answers, queued, first, seconds,
     weights) = columns  # fmt: skip
    at = {id: row for row, id in enumerate(ids)}
    n = len(ids)
    known = [(at[s.id], s) for s in select(session, ScoredAnswer, _OF_SERVED.format("id"), since) if s.id in at]
    scored_at = np.full(n, np.nan)
    for row, s in known:
        scored_at[row] = s.time
    said = select(session, Feedback, f"{_OF_SERVED.format('served')} or {_OF_SERVED.format('other')}", since, since)
    said = latest(said, dict(zip(ids, users, strict=True)))
    thumbs = [(at.get(f.served), f.value) for f in said if f.kind == "thumb"]
    featured, matrix = _features(session, since, at) if features else (np.empty(0, np.int64), _NONE)
    return Frame(
        id=ids,
        time=np.array(times, dtype=np.float64),
        arm=np.array(arms, dtype=np.str_),
        user=np.array(users, dtype=np.str_),
        model=np.array(models, dtype=np.str_),
        status=np.array(statuses, dtype=np.int64),
        finish=np.array(finishes, dtype=np.str_),
        prompt_tokens=np.array(asked, dtype=np.int64),
        tokens=np.array(tokens, dtype=np.int64),
        answers=np.array(answers, dtype=np.int64),
        queued=np.array(queued, dtype=np.float64),
        first_token=np.array(first, dtype=np.float64),  # None becomes NaN
        seconds=np.array(seconds, dtype=np.float64),
        weights=_by_objective(n, [(row, given) for row, given in enumerate(parsed(weights)) if given is not None]),
        scored=~np.isnan(scored_at),
        scored_at=scored_at,
        scores=_by_objective(n, [(row, s.scores) for row, s in known]),
        spreads=_by_objective(n, [(row, s.spreads) for row, s in known]),
        predicted=_by_objective(n, [(row, s.predicted) for row, s in known]),
        flagged=_flagged(n, known),
        thumbs=_means(n, thumbs),
        rated=np.bincount([row for row, _ in thumbs if row is not None], minlength=n).astype(np.int64),
        wins=_means(
            n,
            [
                pair
                for f in said
                if f.kind == "pair"
                for pair in ((at.get(f.served), f.value), (at.get(f.other), 1 - f.value))
            ],
        ),
        featured=featured,
        features=matrix,
    )


_OF_SERVED = "{} in (select id from served where time >= ?)"
_NONE: NDArray[np.float32] = np.empty((0, 0), np.float32)


def _features(
    session: sqlite3.Connection, since: float, at: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    kept = session.execute(
        "select id, features from served where time >= ? and features is not null order by time, rowid", (since,)
    ).fetchall()
    rows = np.array([at[id] for id, _ in kept], dtype=np.int64)
    if not kept:
        return rows, _NONE
    widths = {len(stored) for _, stored in kept}
    if len(widths) > 1:
        raise ParetoError("features of several lengths in the log of traffic: several encoders made them; move it away")
    return rows, unpack(b"".join(stored for _, stored in kept)).reshape(len(kept), -1)


def _by_objective(n: int, known: list[tuple[int, Any]]) -> dict[str, Floats]:
    found: dict[str, Floats] = defaultdict(lambda: np.full(n, np.nan))
    for row, numbers in known:
        for objective, number in numbers.items():
            found[objective][row] = math.nan if number is None else number
    return dict(found)


def _flagged(n: int, known: list[tuple[int, ScoredAnswer]]) -> dict[str, NDArray[np.bool_]]:
    # An ensemble that flags nothing has a column too.
    found = {name: np.zeros(n, np.bool_) for _, s in known for name in (*s.spreads, *s.flagged)}
    for row, s in known:
        for objective in s.flagged:
            found[objective][row] = True
    return found


def _means(n: int, said: list[tuple[int | None, float]]) -> Floats:
    total, count = np.zeros(n), np.zeros(n)
    for row, value in said:
        if row is not None:
            total[row] += value
            count[row] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
