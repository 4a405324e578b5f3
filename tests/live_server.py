"""A real server in a thread of the tests' own process, and raw sockets to it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from forge import until
from openai import OpenAI

from pareto.inference.server.app import make_app
from pareto.inference.server.asking import Parts
from pareto.inference.server.connections import Connection, Hall
from pareto.inference.server.serving import parts_of
from pareto.inference.server.settings import Settings
from pareto.store.run import Run


@contextmanager
def listening(app: Any, connections: int = 64) -> Iterator[int]:
    """Inside, the application answers at the port that is given."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        protocol: Any = partial(Connection, Hall(connections))
        config = uvicorn.Config(
            app, http=protocol, ws="none", lifespan="off", log_level="error", timeout_graceful_shutdown=10
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until(lambda: server.started)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def head(path: str, length: int, *more: str) -> bytes:
    """Of a request with a body of so many bytes."""
    fields = ("Host: here", "Content-Type: application/json", f"Content-Length: {length}", *more)
    return "\r\n".join([f"POST {path} HTTP/1.1", *fields, "", ""]).encode()


def post(port: int, path: str, body: bytes | dict[str, Any], *headers: str) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of an answer."""
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        s.sendall(head(path, len(said), "Connection: close", *headers) + said)
        return answer(s)


def answer(s: socket.socket) -> tuple[int, dict[str, str], Any]:
    """What comes on a socket until the other side closes it."""
    said = b""
    while piece := s.recv(1 << 16):
        said += piece
    top, _, body = said.partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, json.loads(body) if body else None


@dataclass
class Live:
    """A server of a run, and its parts."""

    port: int
    parts: Parts

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self, **options: Any) -> OpenAI:
        """The official one; it does not try again."""
        return OpenAI(base_url=self.url, **{"api_key": "none", "max_retries": 0, "timeout": 60} | options)

    def idle(self) -> bool:
        """Whether nothing is computed or waits."""
        stats = self.parts.engine.stats()
        return stats.running == stats.waiting == 0


@contextmanager
def live(run: Run, candidate: Run | None = None, **settings: Any) -> Iterator[Live]:
    """Inside, a run is served."""
    watched = Settings(**{"watch_share": 0.0} | settings)  # the encoder takes seconds to load
    with parts_of(run, candidate, watched, lambda line: None) as parts, listening(make_app(parts)) as port:
        yield Live(port, parts)
