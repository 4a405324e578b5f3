"""The application: what is asked at which address."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from pareto import __version__
from pareto.config import suggest
from pareto.inference.server.answering import LEFT, Failed, close, completion, finished
from pareto.inference.server.asking import Parts, accept
from pareto.inference.server.guards import Bodies, Keys
from pareto.inference.server.metrics import Counted
from pareto.inference.server.refusals import Refusal, error, install
from pareto.inference.server.replies import Card, Cards, Completion, Health, Heard
from pareto.inference.server.streaming import Stream, unless_left
from pareto.inference.server.wire import Chat, Error, Opinion
from pareto.traffic.log import Feedback, Unkept

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "What is asked for cannot be."},
    401: {"model": Error, "description": "Wrong key."},
    408: {"model": Error, "description": "The body came too slowly."},
    413: {"model": Error, "description": "The body is too large."},
    429: {"model": Error, "description": "Too many ask; see Retry-After."},
}
UNKEPT: dict[int | str, dict[str, Any]] = {503: {"model": Error, "description": "The log cannot keep it."}}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Error, "description": "There is no such model."}}
STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def make_app(parts: Parts) -> FastAPI:
    """The application over a server's parts, which it does not close."""
    app = FastAPI(
        title="pareto",
        version=__version__,
        description="Chat completions at any place of a Pareto frontier.",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
    )
    install(app)
    _routes(app, parts)
    settings = parts.settings
    # The last one added stands outermost.
    app.add_middleware(
        Bodies,
        max_body=settings.max_body,
        max_concurrent=settings.max_concurrent,
        patience=parts.engine.patience,
    )
    if settings.keys:
        app.add_middleware(Keys, keys=settings.keys)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(Counted, metrics=parts.metrics)
    return app


def _routes(app: FastAPI, parts: Parts) -> None:
    @app.post(
        "/v1/chat/completions",
        response_model=Completion,
        responses={**REFUSALS, **MISSING, **STREAMED},
        summary="Go on with a conversation",
    )
    async def chat(chat: Chat, request: Request) -> Response:
        job = await accept(parts, chat, f"chatcmpl-{secrets.token_hex(12)}")
        if chat.stream:
            return Stream(parts, job)
        try:
            outcome = await unless_left(request, finished(parts, job))
        except Failed as e:
            return JSONResponse(error(e.status, str(e)), e.status)
        finally:
            close(parts, job, LEFT)
        if outcome is None:
            return Response(status_code=LEFT)
        return Response(completion(parts, job, outcome).model_dump_json(), media_type="application/json")

    @app.get("/v1/models", responses={401: REFUSALS[401]}, summary="The places that have a name")
    async def models() -> Cards:
        return Cards(data=_cards(parts))

    @app.get("/v1/models/{id:path}", responses={401: REFUSALS[401], **MISSING}, summary="One of them")
    async def model(id: str) -> Card:
        for card in _cards(parts):
            if card.id == id:
                return card
        raise Refusal(404, f"there is no model '{id}'; see /v1/models", param="model", code="model_not_found")

    @app.post("/v1/feedback", responses={**REFUSALS, **UNKEPT}, summary="Say what an answer is worth")
    async def feedback(opinion: Opinion) -> Heard:
        said = _feedback(parts, opinion)
        try:
            await asyncio.to_thread(parts.log.add_feedback, said)
        except Unkept as e:
            raise Refusal(503, f"this server's log: {e.what}", code="not_logged") from None
        return Heard(id=said.id)

    @app.get("/health", summary="Whether the server serves")
    async def health() -> Health:
        stats = parts.engine.stats()
        log = parts.log.losses.said
        return Health(model=_cards(parts)[0].id, running=stats.running, waiting=stats.waiting, log=log)

    @app.get(
        "/metrics",
        response_class=Response,
        responses={401: REFUSALS[401], 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        summary="For Prometheus",
    )
    async def metrics() -> Response:
        return Response(parts.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _cards(parts: Parts) -> list[Card]:
    return [
        Card(id=model.id, created=model.created, title=model.title, kept=model.kept)
        for model in parts.arms.places["main"].models
    ]


def _feedback(parts: Parts, opinion: Opinion) -> Feedback:
    if (opinion.thumb is None) == (opinion.better_than is None):
        raise Refusal(400, "thumb or better_than: exactly one of them is wanted", param="thumb")
    names = parts.recipe.names
    if opinion.objective is not None and opinion.objective not in names:
        hint = suggest(opinion.objective, names)
        raise Refusal(400, f"objective: unknown '{opinion.objective}'; {hint}", param="objective")
    return Feedback(
        id=f"feedback-{secrets.token_hex(12)}",
        time=time.time(),
        served=opinion.id,
        kind="pair" if opinion.thumb is None else "thumb",
        value=float(opinion.thumb or 1),
        other=opinion.better_than or "",
        objective=opinion.objective or "",
        user=parts.log.user_key(opinion.user or ""),
        comment=opinion.comment or "",
    )
