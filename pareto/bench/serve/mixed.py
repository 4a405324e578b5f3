"""Many clients with weights of their own: answered in one batch, against one after the other with merging again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pareto.bench.serve.ground import bodies, free, prompts_of
from pareto.bench.serve.live import Live, Reply, live
from pareto.errors import ParetoError
from pareto.store.run import Run

QUIET = ("--score-share", "0", "--watch-share", "0", "--dtype", "float32")
"""Nothing but answering is measured; float32, so that answers can be compared token by token."""


def mixed(
    run: Run, clients: int, rounds: int, max_tokens: int, repeats: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure.

    Args:
        run: its experts are mixed.
        clients: that ask at the same time.
        rounds: requests of each client, one after the other.
        max_tokens: of an answer.
        repeats: pairs of measurements, each with other weights.
        say: told of progress, a line at a time.

    Returns:
        ``rows``: of each pair ``together`` and ``alone`` tokens per second, ``ratio``, ``p95`` and ``median`` seconds
        of a request together, ``p95_alone`` where all wait for their turn, ``equal``: share of answers that are the
        same in company as alone; and ``figures``.

    Raises:
        ParetoError: a request is not answered.
    """
    rows = []
    with (
        free(run) as copied,
        live(copied, *QUIET, "--rows", str(clients), "--max-best-of", "1", "--max-waiting", str(clients)) as together,
        live(copied, *QUIET, "--rows", "1", "--max-best-of", "1", "--max-waiting", str(clients)) as alone,
    ):
        for server in (together, alone):  # what is loaded at the first request is not measured
            _answered(server.chat(bodies(copied, prompts_of(copied, 1), 4, 0)[0]))
        for k in range(repeats):
            asked = bodies(copied, prompts_of(copied, clients * rounds), max_tokens, k)
            say(f"mixed: {k + 1} of {repeats}")
            batch, batch_seconds = _ask(together, asked, clients)
            single, single_seconds = _ask(alone, asked, clients)
            tokens, other = sum(r.tokens for r in batch), sum(r.tokens for r in single)
            rows.append(
                {
                    "together": tokens / batch_seconds,
                    "alone": other / single_seconds,
                    "ratio": tokens / batch_seconds / (other / single_seconds),
                    "median": float(np.median([r.seconds for r in batch])),
                    "p95": float(np.quantile([r.seconds for r in batch], 0.95)),
                    "p95_alone": float(np.quantile([r.seconds for r in single], 0.95)),
                    "equal": float(np.mean([a.text == b.text for a, b in zip(batch, single, strict=True)])),
                }
            )
    return {
        "clients": clients,
        "requests": clients * rounds,
        "max_tokens": max_tokens,
        "rows": rows,
        "figures": {
            "mixed_vs_serial": float(np.median([r["ratio"] for r in rows])),
            "mixed_vs_serial_lowest": min(r["ratio"] for r in rows),
            "p95_seconds": float(np.median([r["p95"] for r in rows])),
            "p95_seconds_serial": float(np.median([r["p95_alone"] for r in rows])),
            "equal_to_alone": float(np.mean([r["equal"] for r in rows])),
        },
    }


def _ask(server: Live, asked: Sequence[dict[str, Any]], clients: int) -> tuple[list[Reply], float]:
    """All requests, so many at a time; and the seconds until the last is answered."""
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        replies = list(pool.map(server.chat, asked))
    seconds = time.monotonic() - began
    return [_answered(reply) for reply in replies], seconds


def _answered(reply: Reply) -> Reply:
    if reply.status != 200:
        raise ParetoError(f"a request was answered with {reply.status}: {str(reply.document)[:200]}")
    return reply
