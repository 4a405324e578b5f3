"""A load with hostile requests and clients that go away: what breaks, what grows, what is lost."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pareto.bench.serve.ground import bodies, free, prompts_of
from pareto.bench.serve.live import Live, live
from pareto.errors import ParetoError
from pareto.store.run import Run

HOSTILE, LEAVING = 0.05, 0.05
"""Shares of the requests that are hostile, and whose client goes away before the answer is whole."""
LOOK = 5.0
"""Seconds between two looks at memory."""
WARM = 0.3
"""Share of the time before which memory may still grow: caches fill, the allocator finds its size."""


@dataclass
class Seen:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Status of right requests that waited for their answer → how often; 0: the connection broke."""
    refused: Counter[int] = field(default_factory=Counter)
    """The same of hostile ones."""
    left: int = 0
    """Clients that went away."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, counter: Counter[int], status: int) -> None:
        """One more."""
        with self.lock:
            counter[status] += 1


def load(run: Run, seconds: float, clients: int, max_tokens: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure.

    Args:
        run: is served, without its priorities.
        seconds: of load.
        clients: at the same time.
        max_tokens: of an answer.
        say: told of progress, a line at a time.

    Returns:
        ``statuses`` of right requests, ``hostile`` ones, ``left``: clients that went away; ``memory``: megabytes over
        time; ``figures``: ``server_errors`` (5xx of any kind of request), ``lost`` (right requests that got neither
        an answer nor a refusal), ``memory_growth`` (of its median in the last third over that after the warm-up).

    Raises:
        ParetoError: the server does not start, or ended under the load.
    """
    seen, memory = Seen(), list[tuple[float, float]]()
    with free(run) as copied, live(copied, "--max-tokens", str(max_tokens), "--score-share", "0.1") as server:
        ends = time.monotonic() + seconds
        work = [
            threading.Thread(target=_client, args=(server, copied, max_tokens, k, ends, seen)) for k in range(clients)
        ]
        began = time.monotonic()
        for thread in work:
            thread.start()
        while time.monotonic() < ends:
            time.sleep(min(LOOK, max(0.0, ends - time.monotonic())))
            if not server.process.is_running():
                raise ParetoError("the server ended under the load")
            memory.append((time.monotonic() - began, server.memory() / 1e6))
            say(f"load: {memory[-1][0]:.0f} of {seconds:.0f} s, {memory[-1][1]:.0f} MB, {dict(seen.statuses)}")
        for thread in work:
            thread.join()
    at, held = np.array(memory).T
    early, late = held[(at > WARM * seconds) & (at <= 0.65 * seconds)], held[at > 0.65 * seconds]
    errors = sum(n for counter in (seen.statuses, seen.refused) for status, n in counter.items() if status >= 500)
    return {
        "seconds": seconds,
        "clients": clients,
        "statuses": {str(k): n for k, n in sorted(seen.statuses.items())},
        "hostile": {str(k): n for k, n in sorted(seen.refused.items())},
        "left": seen.left,
        "memory": [{"seconds": t, "megabytes": mb} for t, mb in memory],
        "figures": {
            "server_errors": errors,
            "lost": seen.statuses[0],
            "answered": seen.statuses[200],
            "hostile_answered": seen.refused[200],
            "memory_growth": float(np.median(late) / np.median(early) - 1),
        },
    }


def _client(server: Live, run: Run, max_tokens: int, number: int, ends: float, seen: Seen) -> None:
    """Asks until the end."""
    rng = random.Random(number)
    asked = bodies(run, prompts_of(run, 64), max_tokens, number)
    while time.monotonic() < ends:
        body, kind = rng.choice(asked), rng.random()
        if kind < HOSTILE:
            seen.count(seen.refused, _hostile(server, body, rng))
        elif kind < HOSTILE + LEAVING:
            _leave(server, body | {"stream": rng.random() < 0.5}, rng.uniform(0.01, 1.0))
            with seen.lock:
                seen.left += 1
        else:
            reply = server.chat(body)
            seen.count(seen.statuses, reply.status)
            if reply.status == 429:
                time.sleep(0.5)


def _hostile(server: Live, body: dict[str, Any], rng: random.Random) -> int:
    """Something that must be refused; its status."""
    text = json.dumps(body)
    kinds: list[bytes] = [
        text[: len(text) // 2].encode(),
        b"\xff\xfe" + text.encode(),
        b"[" * 20_000,
        text.replace('"temperature": 0', '"temperature": NaN').encode(),
        json.dumps(body | {"model": "nobody"}).encode(),
        json.dumps(body | {"pareto": {"weights": {"nothing": 1}}}).encode(),
        json.dumps(body | {"n": 10**9}).encode(),
        json.dumps(body | {"messages": [{"role": "user", "content": "\u0000\u202e<script>" * 100_000}]}).encode(),
        json.dumps(body | {"messages": [{"role": "user", "content": "x" * 10_000_000}]}).encode(),
    ]
    return server.post(rng.choice(kinds)).status


def _leave(server: Live, body: dict[str, Any], after: float) -> None:
    """Ask, and go away without a word."""
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    try:
        with socket.create_connection((server.host, server.port), timeout=5) as connection:
            connection.sendall(head.encode() + data)
            time.sleep(after)
    except OSError:
        pass
