"""A real HTTP server that speaks as an OpenAI-compatible judge."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Says = Callable[[str, str, str], Any]
"""From request, answer A and answer B to the letter, or to (status, body), or to None: the connection is dropped."""


@dataclass
class Server:
    """What a judge's server was asked."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the calls, with the header ``Authorization`` among them."""


@contextmanager
def judge_server(says: Says) -> Iterator[Server]:
    """A server on a port of its own until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append(body | {"path": self.path, "authorization": self.headers["Authorization"]})
            told = says(*read(body))
            if told is None:
                self.close_connection = True
                return
            status, answer = told if isinstance(told, tuple) else (200, said(told))
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:  # who asked has given up waiting
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    listening = Quiet(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{listening.server_port}/v1")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def said(text: str) -> dict[str, Any]:
    """An answer in OpenAI's shape, of 100 and 2 tokens."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"message": message}], "usage": {"prompt_tokens": 100, "completion_tokens": 2}}


def read(body: dict[str, Any]) -> list[str]:
    """Request, answer A and answer B, as they stand between the tags."""
    content = body["messages"][1]["content"]
    found = []
    for name in ("request", "answer-A", "answer-B"):
        match = re.search(rf"<({name}-[0-9a-f]+)>\n(.*?)\n</\1>", content, re.DOTALL)
        assert match, content
        found.append(match[2])
    return found
