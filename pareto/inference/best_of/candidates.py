"""Answers that were drawn, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MOST = 1024
"""Answers to one prompt."""


@dataclass(frozen=True)
class Candidate:
    """One of the answers that were drawn."""

    seed: int
    """Of its own random numbers: ``Policy.answer`` with it gives the same text."""
    text: str
    token_ids: tuple[int, ...]
    logp: float
    """Sum of log-probabilities under the policy at temperature 1, nats."""
    scores: dict[str, float]
    """Objective → value in its own units, where it was measured."""
    utility: float
    """See ``Judge.rank``."""
    broken: str | None
    """The first level of the priorities that it breaks, in words."""
    failures: tuple[str, ...]
    """Rewards that failed on it, and why."""
    early: bool
    """It was rejected at its beginning, which is all that text, scores and utility are of."""


@dataclass(frozen=True)
class Best:
    """The best answer among its candidates."""

    candidates: tuple[Candidate, ...]
    chosen: int
    """Index of the best."""
    tokens: int
    """Generated for it when it was made, those of rejected answers included."""
    kl: float
    """Bound on KL(what is returned ‖ the policy), nats: that of the best of as many as might have been drawn; exact
    where all were and no two are equally good. Whichever of n independent answers a rule returns, it is not more."""
    cached: bool
    """It was kept from an earlier time, and nothing was generated now."""
    reason: str
    """Why no more were drawn."""

    @property
    def answer(self) -> Candidate:
        """The best."""
        return self.candidates[self.chosen]

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Best:
        """What ``to_json`` gave, after JSON."""
        tuples = ("token_ids", "failures")
        candidates = tuple(Candidate(**{**c, **{k: tuple(c[k]) for k in tuples}}) for c in stored["candidates"])
        return cls(**{**stored, "candidates": candidates})
