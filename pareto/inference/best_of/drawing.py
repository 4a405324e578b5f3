"""Answers to one prompt drawn in one batch; unpromising ones may leave it half-way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pareto.config import Sampling
from pareto.rollouts.sampling import Decoder, Request

if TYPE_CHECKING:
    from pareto.models import Base


class Rejection(Protocol):
    """Which answers are not worth finishing."""

    @property
    def after(self) -> int:
        """Tokens after which they are looked at."""
        ...

    def survivors(self, prefix_utilities: Sequence[float]) -> Sequence[int]:
        """Indices of those that go on."""
        ...


@dataclass(frozen=True)
class Draft:
    """An answer, or the beginning of one."""

    token_ids: tuple[int, ...]
    """With the end-of-turn token where it ended before the cap."""
    logp: float
    """Sum of log-probabilities under the sampling policy at temperature 1, nats."""
    early: bool
    """It was rejected before its end."""


def draw_drafts(
    base: Base,
    requests: Sequence[Request],
    sampling: Sampling,
    rejection: Rejection | None,
    judge: Callable[[list[tuple[int, ...]]], Sequence[float]],
    progress: Callable[[int], None] = lambda tokens: None,
) -> list[Draft]:
    """Draw one answer per request, as ``rollouts.sampling.draw`` does.

    Args:
        base: the live model with its policy.
        requests: few enough for one batch; those of the same prompt share its prefill.
        sampling: temperature, cuts and cap.
        rejection: looks once at the answers that have not ended by then; ``None``: all are finished.
        judge: utilities of beginnings, for ``rejection``.
        progress: called with the number of tokens drawn since the last call.

    Raises:
        ValueError: ``rejection`` keeps no answer at all.
    """
    decoder = Decoder(base, requests, sampling)
    tokens: list[list[int]] = [[] for _ in requests]
    logps = [0.0] * len(requests)
    rejected: set[int] = set()
    while decoder.alive:
        rows = list(decoder.rows)
        chosen, logp = decoder.step()
        for row, token, value in zip(rows, chosen, logp, strict=True):
            tokens[row].append(token)
            logps[row] += value
        progress(len(rows))
        running = [row for row, token in zip(rows, chosen, strict=True) if token != base.end_id]
        if rejection and decoder.step_index == rejection.after < sampling.max_new_tokens and running:
            kept = rejection.survivors(judge([tuple(tokens[row]) for row in running]))
            if not len(kept):
                raise ValueError("a rejection must let one answer go on")
            rejected = set(running) - {running[int(i)] for i in kept}
        # A rejected answer leaves the batch in the way that one does which has ended.
        decoder.drop_ended([base.end_id if row in rejected else t for row, t in zip(rows, chosen, strict=True)])
    return [Draft(tuple(t), p, row in rejected) for row, (t, p) in enumerate(zip(tokens, logps, strict=True))]
