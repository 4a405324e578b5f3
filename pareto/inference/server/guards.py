"""What stands before the application: keys, and bodies that are too large, too slow or too many."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pareto.inference.server.refusals import Refusal

OPEN = ("/health", "/openapi.json")
"""What needs no key."""
BODY_SECONDS = 10.0
"""Within which a body has to be there."""
DISCARDED = 1 << 25
"""Bytes of a body too large that are still read, so that the client is there to hear the answer."""
HELD = 1 << 27
"""Bytes of bodies that are under way; past it none may be larger than all of them would be if they were equal."""


class Keys:
    """Lets in who has one of the keys."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self.app = app
        # Salted digests: the time of a comparison then tells nothing of a key.
        self._salt = secrets.token_bytes(16)
        self._keys = [self._digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let it in."""
        if scope["type"] == "http" and scope["path"] not in OPEN and not self._opens(scope):
            wrong = Refusal(
                401,
                "this server wants an API key that it knows, as in Authorization: Bearer KEY",
                code="invalid_api_key",
            )
            await wrong.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _opens(self, scope: Scope) -> bool:
        kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        given = self._digest(key.strip(" ").encode("latin-1"))
        return kind.lower() == "bearer" and any(hmac.compare_digest(given, known) for known in self._keys)

    def _digest(self, key: bytes) -> bytes:
        return hashlib.sha256(self._salt + key).digest()


class Bodies:
    """Reads a body whole before anything is done for it, and lets in only so many requests that have one."""

    def __init__(
        self, app: ASGIApp, max_body: int, max_concurrent: int, patience: Callable[[int], float] = lambda ahead: 1.0
    ) -> None:
        """Stand before an application.

        Args:
            app: it.
            max_body: bytes.
            max_concurrent: requests with a body that it works on at a time.
            patience: requests that are ahead of one → seconds after which it may come again.
        """
        self.app, self.max_body, self.max_concurrent, self.patience = app, max_body, max_concurrent, patience
        self.reading = self.held = self.working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, and let it in."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
            if body is None:
                return
            if self.working >= self.max_concurrent:
                raise _too_many(f"{self.working} requests are being answered", self.patience(self.working))
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
            return
        self.working += 1
        try:
            await self.app(scope, _replayed(body, receive), send)
        finally:
            self.working -= 1

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; ``None`` where the client has left. Raises Refusal."""
        told = Headers(scope=scope).get("content-length", "")
        if told.isdecimal() and int(told) > DISCARDED:
            raise _too_large(self.max_body)
        self.reading += 1
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    piece = message.get("body", b"")
                    size += len(piece)
                    self.held -= len(body)
                    if size <= self.max_body:
                        body += piece
                    else:
                        body.clear()
                    self.held += len(body)
                    # Who sends slowly holds little and keeps nobody else away, however many they are.
                    if self.held > HELD and len(body) > HELD / self.reading:
                        raise _too_many(f"{self.reading} requests are being received", BODY_SECONDS)
                    if not message.get("more_body", False) or size > DISCARDED:
                        break
        except TimeoutError:
            raise Refusal(408, f"the body was not there within {BODY_SECONDS:g} s", code="timeout") from None
        finally:
            self.reading -= 1
            self.held -= len(body)
        if size > self.max_body:
            raise _too_large(self.max_body)
        return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body, and then what comes."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most} bytes", code="request_too_large")


def _too_many(what: str, seconds: float) -> Refusal:
    return Refusal(429, f"{what}, which is all that is served at a time; ask again", code="busy", retry_after=seconds)
