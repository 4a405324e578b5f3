"""Answers piece by piece, as server-sent events; whoever leaves stops what is computed for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pareto.inference.server.answering import LEFT, Failed, Outcome, close, finished, place_of, reason, usage_of
from pareto.inference.server.asking import Job, Parts
from pareto.inference.server.refusals import error
from pareto.inference.server.replies import Chunk, Delta, Piece, Told, Usage
from pareto.store.files import to_json

T = TypeVar("T")
DONE = "data: [DONE]\n\n"


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives; ``None`` where the client leaves first, and the work is then given up."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(left())
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for one in (task, leaving):
            one.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await one


class Stream(StreamingResponse):
    """The events of one job."""

    def __init__(self, parts: Parts, job: Job) -> None:
        super().__init__(_events(parts, job), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self.parts, self.job = parts, job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them, and stop what is computed where the client does not wait for the end."""
        try:
            await super().__call__(scope, receive, send)
        finally:  # also where not one event was asked for
            close(self.parts, self.job, LEFT)


async def _events(parts: Parts, job: Job) -> AsyncIterator[str]:
    options = job.chat.stream_options
    with_usage = options is not None and options.include_usage

    def chunk(*pieces: Piece, usage: Usage | None = None, told: Told | None = None) -> str:
        made = Chunk(
            id=job.id,
            created=int(job.came),
            model=job.place.model,
            system_fingerprint=parts.base.fingerprint,
            choices=list(pieces),
            usage=usage,
            pareto=told,
        )
        return _event(made, with_usage)

    given = job.chat.n or 1
    for k in range(given):
        beginning = Piece(index=k, delta=Delta(role="assistant", content=""))
        yield chunk(beginning, told=place_of(job) if k == 0 else None)
    shown = [0] * given
    # The best of several is known when all are there.
    while job.best_of == 1 and not job.ticket.done:
        job.changed.clear()
        for k, row in enumerate(job.ticket.rows):
            if text := row.text[shown[k] :]:
                shown[k] += len(text)
                yield chunk(Piece(index=k, delta=Delta(content=text)))
        if not job.ticket.done:
            await job.changed.wait()
    try:
        outcome: Outcome = await finished(parts, job)
    except Failed as e:
        yield f"data: {to_json(error(e.status, str(e)))}\n\n"
        return
    for k, row in enumerate(outcome.rows):
        if text := row.text[shown[k] :]:
            yield chunk(Piece(index=k, delta=Delta(content=text)))
    for k, row in enumerate(outcome.rows):
        last = k == given - 1 and not with_usage
        yield chunk(Piece(index=k, delta=Delta(), finish_reason=reason(row)), told=outcome.told if last else None)
    if with_usage:
        yield chunk(usage=usage_of(job), told=outcome.told)
    yield DONE


def _event(chunk: Chunk, with_usage: bool) -> str:
    """As OpenAI writes it: what does not concern a chunk is left out, but for the usage where it was asked for."""
    left_out = {name for name in ("usage", "pareto") if getattr(chunk, name) is None}
    if with_usage:
        left_out.discard("usage")
    document = chunk.model_dump(mode="json", exclude=left_out)
    for piece, of in zip(document["choices"], chunk.choices, strict=True):
        piece["delta"] = of.delta.model_dump(exclude_none=True)
    return f"data: {to_json(document)}\n\n"
