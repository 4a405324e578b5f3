"""What an engine carries, and what it says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from pareto.store.files import fingerprint, to_json

Progress = Callable[[int, int], None]
"""Told of a task's real progress: units done, units in all."""
Task = Callable[[Mapping[str, Any], Mapping[str, Any], Progress], Mapping[str, Any]]
"""``task(body, place, progress)``: does a work and tells small plain data."""
Outcome = Literal["done", "failed", "lost"]
Cause = Literal["", "user", "memory", "bug"]


@dataclass(frozen=True)
class Work:
    """Something to be done once, by whoever can; its name is the hash of what decides the result."""

    task: str
    """``package.module:function`` of a ``Task``, to be imported where it runs."""
    body: Mapping[str, Any]
    """Plain data: everything that decides the result."""
    place: Mapping[str, Any] = field(default_factory=dict)
    """Plain data: where it is done, such as folders and addresses; no part of the key."""
    label: str = ""
    """What people read: ``train trial-3``."""
    size: float = 1.0
    """Expected duration, relative to others: of those that wait the longest is started first."""

    @cached_property
    def key(self) -> str:
        """16 hex digits. Raises as ``fingerprint`` does for a body that is not plain data."""
        return fingerprint({"task": self.task, "body": dict(self.body)})


@dataclass(frozen=True)
class Ended:
    """How a work ended."""

    key: str
    """Of the work."""
    outcome: Outcome
    """``lost``: whoever did it is gone, and nothing is known of the work itself."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What the task returned, as JSON would give it back; empty unless done."""
    error: str = ""
    """One line: of a ParetoError its message, of another exception ``TypeName: message``."""
    cause: Cause = ""
    """``user``: a ParetoError; ``memory``: there was too little; ``bug``: any other exception."""
    node: str = ""
    """Where it ran."""
    seconds: float = 0.0
    """That the task ran."""
    trace: str = ""
    """Of a bug the traceback, for a log."""


@dataclass(frozen=True)
class Beat:
    """The newest progress of a work under way."""

    done: int
    """Units, of ``total``; both 0 before the first report."""
    total: int
    count: int
    """Grows with every report: that a work lives is seen by change, never by comparing clocks."""
    node: str
    """Where it runs."""


@dataclass(frozen=True)
class Node:
    """A machine with slots for works."""

    name: str
    slots: int
    """Works at a time."""
    busy: int
    """Slots in use."""
    alive: bool
    gpus: float
    """GPUs that the engine hands out there."""


def take_longest(waiting: dict[str, Work]) -> Work:
    """Remove the longest work and return it; of equals the one that was there first."""
    return waiting.pop(max(waiting.values(), key=lambda work: work.size).key)


def as_text(message: Work | Ended) -> str:
    """One line of JSON for another process.

    Raises:
        TypeError: something in it is not plain data.
        ValueError: an infinity is in it.
    """
    values = {f.name: getattr(message, f.name) for f in fields(message)}
    return to_json({name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()})


def work_from(text: str | bytes) -> Work:
    """The work of ``as_text``, with tuples as lists and NaN as None."""
    return Work(**json.loads(text))


def ended_from(text: str | bytes) -> Ended:
    """The end of ``as_text``."""
    return Ended(**json.loads(text))
