"""The frozen records of served traffic. Times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MOST_COMMENT = 2000
"""Characters of a comment."""


@dataclass(frozen=True)
class Served:
    """One request and what came of it."""

    id: str
    """Of the answer, as the client was told it."""
    time: float
    """When the request came."""
    model: str
    """As it was asked for, such as ``assistant@balanced``."""
    arm: str
    """``main`` or ``candidate``."""
    user: str
    """``TrafficLog.user_key`` of who asked; '' where the request does not say."""
    weights: Mapping[str, float] | None
    """The preference; ``None`` where coefficients were asked for."""
    coefficients: Mapping[str, float]
    """How much of each adapter; empty for the base model."""
    point: str | None
    """Id of the measured policy, where it is one."""
    moved: str
    """Why it is another place than was asked for; '' where it is not."""
    prompt_tokens: int
    tokens: int
    """Drawn in all answers."""
    n: int
    """Answers that were given back; the best of several drawn is one."""
    finish: str
    """Why the first answer ended: ``stop``, ``length``, ``time``, ``cancelled``, ``error``; '' where none began."""
    queued: float
    """Seconds from the request to the model."""
    first_token: float | None
    """Seconds from the request to the first token; ``None`` where there was none."""
    seconds: float
    """From the request to its end."""
    status: int
    """Of HTTP."""
    prompt: str | None
    """What the user said last; ``None`` unless storing is switched on."""
    answer: str | None
    """The first of ``n``; ``None`` unless storing is switched on."""
    features: tuple[float, ...] | None = None
    """Of the prompt, by the sentence encoder, kept as float16; not read back here but in a ``Frame``."""
    turns: int = 1
    """Messages of the conversation, a system prompt among them; only those of one turn become labels."""


@dataclass(frozen=True)
class ScoredAnswer:
    """What the rewards say of a request's first answer."""

    id: str
    """Of the request."""
    time: float
    """When it was scored."""
    scores: Mapping[str, float]
    """Objective → reward, in its own units; NaN where it does not apply."""
    spreads: Mapping[str, float]
    """Objective → standard deviation among an ensemble's members; only of ensembles."""
    flagged: tuple[str, ...]
    """Objectives whose spread is above their ensemble's threshold for review."""
    predicted: Mapping[str, float]
    """Objective → mean that was predicted for the place."""


@dataclass(frozen=True)
class Feedback:
    """What somebody thinks of an answer."""

    id: str
    time: float
    served: str
    """Id of the request."""
    kind: Literal["thumb", "pair"]
    value: float
    """Of a thumb 1 or −1; of a pair 1 where ``served`` is better than ``other``, ½ where neither is."""
    other: str = ""
    """Of a pair: id of the request whose answer it is compared with."""
    objective: str = ""
    """By which it was meant; '' where that was not said."""
    user: str = ""
    """``TrafficLog.user_key`` of who said it; '' where that is not known."""
    comment: str = ""


@dataclass(frozen=True)
class Counts:
    """How many records something concerned."""

    requests: int = 0
    scores: int = 0
    feedback: int = 0


@dataclass(frozen=True)
class Losses:
    """What could not be kept since the log was opened."""

    records: int = 0
    reason: str = ""
    """Of the last."""
    now: bool = False
    """They are still being lost."""

    @property
    def said(self) -> str:
        """How the log is, for people."""
        return f"losing records: {self.reason}" if self.now else "ok"
