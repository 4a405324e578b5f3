"""One call to an OpenAI-compatible ``/chat/completions``, with what can go wrong in one line each."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pareto.config import Judge
from pareto.errors import ParetoError

ANSWER_TOKENS = 512
"""Cap of an answer: room for a model that thinks before it says a letter."""
ANSWER_BYTES = 1 << 20
"""An answer that is longer is none."""
MOST_TOKENS = 1 << 30
"""No call has more; a server that counts more does not count."""
PAUSE = 0.5
"""Seconds before the first repetition of a failed call; then twice as many each time."""


class CallFailed(Exception):
    """A call that brought no answer, in one line."""

    def __init__(self, reason: str, *, again: bool, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.again = again
        """Whether the same call may succeed later."""
        self.pause = pause
        """Seconds that the server asks to wait."""


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    text: str
    tokens_in: int
    """As the server counts them; 0 where it does not, or oddly."""
    tokens_out: int


class Endpoint:
    """Where a judge can be asked. The key is read from the environment; it is never written or shown."""

    def __init__(self, judge: Judge) -> None:
        """Check the address and the key.

        Raises:
            ParetoError: no http address, or a key that cannot be sent.
        """
        assert judge.url is not None
        parts = urlsplit(judge.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ParetoError("judge.url: it must be http(s)://host/v1, without a name or a password")
        self.judge = judge
        self.url = judge.url.rstrip("/") + "/chat/completions"
        self._key = os.environ.get(judge.key_variable, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise ParetoError(f"judge: the key in {judge.key_variable} has characters that cannot be sent")
        # A key must not follow to wherever a server points.
        self._opener = build_opener(_Stay)

    def chat(self, messages: Sequence[dict[str, str]], ended: threading.Event) -> Reply:
        """Ask, and ask again where a call fails in a way that may pass.

        Args:
            messages: of the conversation.
            ended: no call begins once this is set.

        Raises:
            CallFailed: no answer after ``judge.retries`` repetitions.
            ParetoError: the server refuses the key, or has no such address or model: no other call would fare better.
        """
        for attempt in range(self.judge.retries + 1):
            try:
                return self._once(messages)
            except CallFailed as e:
                if not e.again or attempt == self.judge.retries:
                    raise
                if ended.wait(max(PAUSE * 2**attempt, min(e.pause, self.judge.timeout))):
                    raise
        raise AssertionError("unreachable")

    def _once(self, messages: Sequence[dict[str, str]]) -> Reply:
        body = {"model": self.judge.model, "messages": [*messages], "temperature": 0, "max_tokens": ANSWER_TOKENS}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        request = Request(self.url, json.dumps(body).encode(), headers)
        end = time.monotonic() + self.judge.timeout
        try:
            with self._opener.open(request, timeout=self.judge.timeout) as response:
                return _reply(_read(response, end))
        except HTTPError as e:
            with e:
                self._refused(e)
        except TimeoutError:
            raise CallFailed(f"no answer within {self.judge.timeout:g} s", again=True) from None
        except (URLError, OSError, http.client.HTTPException) as e:
            reason = e.reason if isinstance(e, URLError) else e
            if isinstance(reason, TimeoutError):
                raise CallFailed(f"no answer within {self.judge.timeout:g} s", again=True) from None
            raise CallFailed(f"cannot be reached: {self._line(str(reason))}", again=True) from None

    def _refused(self, error: HTTPError) -> NoReturn:
        try:
            said = self._line(_message(error.read(ANSWER_BYTES)) or error.reason or "")
        except (OSError, http.client.HTTPException):
            said = str(error.reason)
        what = f"HTTP {error.code}: {said}"
        if error.code in (401, 403):
            given = "refuses the key in" if self._key else "wants a key, and there is none in"
            raise ParetoError(f"judge at {self.judge.url} {given} {self.judge.key_variable} ({what})") from None
        if error.code == 404 or error.code < 400:
            raise ParetoError(f"judge at {self.judge.url}, model '{self.judge.model}': {what}") from None
        again = error.code in (408, 409, 425, 429) or error.code >= 500
        raise CallFailed(what, again=again, pause=_seconds(error.headers.get("Retry-After"))) from None

    def _line(self, text: str) -> str:
        """A server's message as one printable line of at most 200 characters, without the key."""
        scrubbed = text.replace(self._key, "…") if self._key else text
        return "".join(c if c.isprintable() else " " for c in " ".join(scrubbed.split()))[:200]


class _Stay(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        return None


def _read(response: http.client.HTTPResponse, end: float) -> bytes:
    """The whole body. The socket's own time-out starts again with every byte that drips in; ``end`` does not."""
    data = b""
    while part := response.read1(1 << 16):
        data += part
        if time.monotonic() > end:
            raise TimeoutError
        if len(data) > ANSWER_BYTES:
            raise CallFailed("its answer is longer than 1 MiB", again=False)
    return data


def _reply(data: bytes) -> Reply:
    try:
        found = json.loads(data)
        text = found["choices"][0]["message"]["content"]
        usage = found.get("usage")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise CallFailed("its answer is not that of a chat/completions interface", again=True) from None
    return Reply(
        text if isinstance(text, str) else "", _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    )


def _count(usage: Any, name: str) -> int:
    """Tokens as a server counts them: an odd count spoils what a call cost, not what it said."""
    count = usage.get(name) if isinstance(usage, dict) else None
    return int(count) if isinstance(count, (int, float)) and 0 <= count <= MOST_TOKENS else 0


def _message(data: bytes) -> str:
    """What the server says of an error: OpenAI's ``{"error": {"message"}}``, or whatever it wrote."""
    text = data.decode("utf-8", "replace")
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return found if isinstance(found, str) else json.dumps(found)


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 0))
    except ValueError:  # a date: the usual pause will do
        return 0.0
