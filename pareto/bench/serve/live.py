"""A server as its own process, and plain HTTP to it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pareto.bench.processes import started
from pareto.errors import ParetoError
from pareto.store.run import Run

STARTS = 180.0
"""Seconds in which a server has to listen."""
ENDS = 60.0
"""Seconds in which it has to end when it is asked to."""
_ADDRESS = re.compile(r"http://([0-9.]+):(\d+)/v1")


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    """Of HTTP; 0: the connection broke."""
    document: Any
    """The body, where it is JSON."""
    seconds: float

    @property
    def text(self) -> str:
        """Of the first choice."""
        return str(self.document["choices"][0]["message"]["content"])

    @property
    def tokens(self) -> int:
        """Drawn for it."""
        return int(self.document["usage"]["completion_tokens"])


@dataclass(frozen=True)
class Live:
    """A server that listens."""

    host: str
    port: int
    process: psutil.Process

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"

    def chat(self, body: Mapping[str, Any], timeout: float = 300.0) -> Reply:
        """Ask for a completion."""
        return self.post(json.dumps(body).encode(), timeout)

    def post(self, data: bytes, timeout: float = 300.0) -> Reply:
        """Ask for a completion with a body as it is."""
        began = time.monotonic()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request("POST", "/v1/chat/completions", data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            status, found = response.status, response.read()
        except (OSError, http.client.HTTPException):
            status, found = 0, b""
        finally:
            connection.close()
        try:
            document = json.loads(found)
        except ValueError:
            document = None
        return Reply(status, document, time.monotonic() - began)

    def memory(self) -> int:
        """Bytes that it holds by itself, what it shares with others left out."""
        return int(self.process.memory_full_info().uss)


@contextmanager
def live(run: Run, *options: str) -> Iterator[Live]:
    """``pareto serve`` on a run, on a port of its own; ended after the block.

    Raises:
        ParetoError: it does not start; with what it said.
    """
    words = ("serve", str(run.path), "--port", "0", *options)
    with started(*words, end=signal.SIGTERM, patience=ENDS) as (process, log):
        host, port = _listening(process, log)
        yield Live(host, port, psutil.Process(process.pid))


def _listening(process: subprocess.Popen[bytes], log: Path) -> tuple[str, int]:
    deadline = time.monotonic() + STARTS
    while time.monotonic() < deadline and process.poll() is None:
        if found := _ADDRESS.search(log.read_text("utf-8", "replace")):
            return found[1], int(found[2])
        time.sleep(0.2)
    said = " ".join(log.read_text("utf-8", "replace").split()[-40:])
    raise ParetoError(f"the server does not start: {said or 'it says nothing'}")
