"""A few clients that ask, with and without thousands of connections that only stand there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pareto.bench.serve.ground import bodies, free, prompts_of
from pareto.bench.serve.live import Live, Reply, live
from pareto.bench.serve.siege import besieged, check_connections
from pareto.errors import ParetoError
from pareto.store.run import Run

HONEST = 8
"""Clients that ask, one request after the other."""


def crowd(run: Run, connections: int, seconds: float, max_tokens: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure.

    Args:
        run: is served, without its priorities.
        connections: that stand there.
        seconds: of each of the three phases: without them, with them, without them.
        max_tokens: of an answer.
        say: told of progress, a line at a time.

    Returns:
        ``phases``: of each ``connections``, ``statuses``, ``median`` and ``p95`` seconds of the honest requests,
        ``megabytes`` of the server at its end; ``crowd``: what became of the connections, see ``besieged``;
        ``figures``: ``crowd_p95`` and ``crowd_p95_without`` (seconds), ``crowd_ratio`` (of the medians),
        ``crowd_server_errors`` (5xx of any request), ``crowd_lost`` (honest requests without an answer),
        ``crowd_open`` (connections at a time, as the server's system counts them), ``crowd_megabytes`` (more with
        them than before).

    Raises:
        ParetoError: this system does not let a process have so many connections; the server does not start.
    """
    check_connections(connections)
    phases: list[dict[str, Any]] = []
    with free(run) as copied, live(copied, "--max-tokens", str(max_tokens), "--score-share", "0") as server:
        asked = [bodies(copied, prompts_of(copied, 64), max_tokens, k) for k in range(HONEST)]
        for body in asked[0][:HONEST]:
            server.chat(body)
        taken: list[list[float]] = []

        def measure(standing: int) -> None:
            say(f"crowd: {standing} connections")
            replies = _asked(server, asked, seconds)
            taken.append([reply.seconds for reply in replies])
            phases.append(
                {
                    "connections": standing,
                    "statuses": dict(Counter(str(reply.status) for reply in replies)),
                    "median": float(np.median(taken[-1])),
                    "p95": float(np.quantile(taken[-1], 0.95)),
                    "megabytes": server.memory() / 1e6,
                }
            )

        measure(0)
        with besieged(server.host, server.port, connections) as seen:
            measure(connections)
            there = len(server.process.net_connections("tcp"))
        measure(0)
    statuses: Counter[str] = sum((Counter(phase["statuses"]) for phase in phases), Counter())
    without = taken[0] + taken[2]
    return {
        "seconds": seconds,
        "clients": HONEST,
        "phases": phases,
        "crowd": dict(seen),
        "figures": {
            "crowd_p95": phases[1]["p95"],
            "crowd_p95_without": float(np.quantile(without, 0.95)),
            "crowd_ratio": phases[1]["median"] / float(np.median(without)),
            "crowd_server_errors": sum(n for word, n in (statuses + seen).items() if word.startswith("5")),
            "crowd_lost": statuses.total() - statuses["200"],
            "crowd_open": there,
            "crowd_megabytes": phases[1]["megabytes"] - phases[0]["megabytes"],
        },
    }


def _asked(server: Live, asked: list[list[dict[str, Any]]], seconds: float) -> list[Reply]:
    """What all clients heard in that time."""
    ends = time.monotonic() + seconds

    def client(mine: list[dict[str, Any]]) -> list[Reply]:
        heard: list[Reply] = []
        while time.monotonic() < ends:
            heard.append(server.chat(mine[len(heard) % len(mine)]))
        return heard

    with ThreadPoolExecutor(len(asked)) as pool:
        replies = [reply for heard in pool.map(client, asked) for reply in heard]
    if not server.process.is_running():
        raise ParetoError("the server ended under the crowd")
    return replies
