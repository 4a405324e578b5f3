"""From a ticket of the engine to an answer: which of its rows are given, what is told of them, and what is logged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pareto.errors import ParetoError
from pareto.inference.server.asking import Job, Parts
from pareto.inference.server.engine import Row
from pareto.inference.server.metrics import Timing
from pareto.inference.server.replies import BestOf, Choice, Completion, Finish, Interval, Message, Reward, Told, Usage
from pareto.traffic.log import Served

logger = logging.getLogger(__name__)
T = TypeVar("T")
LEFT = 499
"""Logged where the client left first, as nginx does."""


class Failed(Exception):
    """The engine could not finish a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP: whose fault it is."""


@dataclass(frozen=True)
class Outcome:
    """What came of a request."""

    rows: tuple[Row, ...]
    """Those that are given."""
    told: Told
    usage: Usage


async def finished(parts: Parts, job: Job) -> Outcome:
    """Wait for all of an answer, judge it where that was asked for, and log it.

    Raises:
        Failed: the engine could not.
    """
    await job.ended()
    if job.ticket.error is not None or any(row.finish == "error" for row in job.ticket.rows):
        if job.ticket.blamed:
            close(parts, job, 400)
            raise Failed(400, f"pareto: {job.ticket.error}")
        close(parts, job, 500)
        logger.error("%s failed: %s", job.id, job.ticket.error)
        raise Failed(500, "the server failed on this answer; its log has more")
    told, rows = place_of(job), job.ticket.rows
    judging = parts.arms.judging[job.arm]
    try:
        if job.best_of > 1:
            chosen, judged = await _aside(parts, judging.best, job.place, job.prompt, rows)
            told.best_of = BestOf(n=len(rows), chosen=chosen, answers=judged)
            rows = (rows[chosen],)
        if job.preference.rewards:
            scores = [await _aside(parts, judging.rewards, job.prompt, row) for row in rows]
            told.rewards = [{name: Reward(**found) for name, found in of.items()} for of in scores]
    except ParetoError as e:
        told.note = f"not judged: {e}"
        rows = rows[: job.chat.n or 1]
    if any(row.finish == "time" for row in job.ticket.rows):
        late = f"ended by this server after {parts.settings.timeout:g} s, with what was said by then"
        told.note = "; ".join(filter(None, (told.note, late)))
    close(parts, job, 200, rows)
    return Outcome(rows, told, usage_of(job))


def completion(parts: Parts, job: Job, outcome: Outcome) -> Completion:
    """A whole answer as it is told."""
    choices = [
        Choice(index=k, message=Message(content=row.text), finish_reason=reason(row))
        for k, row in enumerate(outcome.rows)
    ]
    return Completion(
        id=job.id,
        created=int(job.came),
        model=job.place.model,
        system_fingerprint=parts.base.fingerprint,
        choices=choices,
        usage=outcome.usage,
        pareto=outcome.told,
    )


def place_of(job: Job) -> Told:
    """Where the answer is from."""
    place = job.place
    return Told(
        model=place.model,
        arm=job.arm,
        weights=place.weights,
        coefficients=place.coefficients,
        point=place.point,
        predicted={name: Interval(**of) for name, of in place.predicted.items()},
        source=place.source,
        moved=place.moved,
        reason=place.reason,
    )


def usage_of(job: Job) -> Usage:
    """Tokens that the request took."""
    prompt, drawn = len(job.ticket.ask.ids), sum(len(row.tokens) for row in job.ticket.rows)
    return Usage(prompt_tokens=prompt, completion_tokens=drawn, total_tokens=prompt + drawn)


def reason(row: Row) -> Finish:
    """Why an answer ended, in the words that clients know."""
    return "stop" if row.finish == "stop" else "length"


def close(parts: Parts, job: Job, status: int, given: Sequence[Row] = ()) -> None:
    """End a request, if it has not ended: what is still drawn for it stops, and it goes into the log."""
    if not job.open:
        return
    job.open = False
    ticket, settings = job.ticket, parts.settings
    if not ticket.done:
        ticket.cancel()
    first = (given or ticket.rows)[0]
    finish = "cancelled" if status == LEFT else first.finish or "error"

    def since(moment: float | None) -> float | None:
        return None if moment is None else moment - job.at

    total = time.monotonic() - job.at
    queued, first_token = since(ticket.started), since(ticket.first_token)
    drawn = [len(row.tokens) for row in ticket.rows]
    parts.metrics.ended(job.arm, finish, Timing(queued, first_token, total, max(drawn)))
    user = job.chat.safety_identifier or job.chat.user or ""
    parts.log.add(
        Served(
            id=job.id,
            time=job.came,
            model=job.place.model,
            arm=job.arm,
            user=parts.log.user_key(user),
            weights=job.place.weights,
            coefficients=job.place.coefficients,
            point=job.place.point,
            moved=job.place.moved,
            prompt_tokens=len(ticket.ask.ids),
            tokens=sum(drawn),
            n=job.chat.n or 1,
            finish=finish,
            queued=total if queued is None else queued,
            first_token=first_token,
            seconds=total,
            status=status,
            prompt=job.prompt if settings.store_prompts else None,
            answer=first.text if settings.store_prompts else None,
            turns=len(job.chat.messages),
        )
    )
    if status == 200:
        parts.scorer.offer(job.id, job.arm, job.place, job.prompt, first)


async def _aside(parts: Parts, judge: Callable[..., T], *arguments: Any) -> T:
    """Beside the loop, after what others have judged."""
    return await asyncio.get_running_loop().run_in_executor(parts.encoding, partial(judge, *arguments))
