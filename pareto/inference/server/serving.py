"""The process: what a server is made of, the socket it listens on, and how it ends."""

from __future__ import annotations

import resource
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import uvicorn

from pareto.errors import ParetoError
from pareto.inference.server.app import make_app
from pareto.inference.server.asking import Parts
from pareto.inference.server.connections import Connection
from pareto.inference.server.engine import Engine
from pareto.inference.server.metrics import Level, Metrics
from pareto.inference.server.routing import Arms
from pareto.inference.server.scoring import Scorer
from pareto.inference.server.settings import Settings
from pareto.store.run import Run
from pareto.traffic.log import TrafficLog
from pareto.traffic.retention import Retention

FILES = 256
"""Files that are kept for other things than connections."""
MOST_FILES = 1 << 16
"""Asked for, where the system lets this process have as many as it likes."""
GRACE = 10.0
"""Seconds that the end may take beyond the longest request."""


def serve(run: Run, candidate: Run | None, settings: Settings, say: Callable[[str], None]) -> None:
    """Serve a run until a signal comes, and finish what was accepted by then.

    Args:
        run: whose frontier is served.
        candidate: another that a share of the users gets.
        settings: the rest.
        say: told, in a line, where it listens and what the log could not do.

    Raises:
        ParetoError: it cannot listen there; see ``Arms.of`` and ``TrafficLog.open``.
    """
    with listening(settings) as listener, parts_of(run, candidate, settings, say) as parts:
        server = uvicorn.Server(_config(parts, settings))
        # uvicorn ends in order, and then sends itself the signal again.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        say(f"{address(listener)}/v1  (ctrl-C ends it when all is answered)")
        server.run(sockets=[listener])
        say("ended; all that was accepted is answered")


@contextmanager
def parts_of(run: Run, candidate: Run | None, settings: Settings, say: Callable[[str], None]) -> Iterator[Parts]:
    """What a server is made of; inside, the engine runs. Raises as ``serve``."""
    with ExitStack() as stack:
        log = stack.enter_context(TrafficLog.open(run, create=True))
        arms = Arms.of(run, candidate, settings.beta_share, breaking=settings.breaking, dtype=settings.dtype)
        stack.callback(Retention(log, settings.retention_days, note=say).close)
        scorer = stack.enter_context(closing(Scorer(arms.judging, log, settings.score_share)))
        engine = Engine(arms.base, arms.bank, rows=settings.rows, waiting=settings.max_waiting)
        stack.callback(engine.close, settings.timeout)
        metrics = Metrics()
        engine.on_step = metrics.stepped
        scorer.on_scored = metrics.judged
        parts = Parts(settings, arms.base, run.recipe, engine, arms, scorer, log, metrics)
        stack.callback(parts.encoding.shutdown)
        metrics.watch(levels_of(parts))
        yield parts


def levels_of(parts: Parts) -> Mapping[str, Level]:
    """What the metrics read from the parts at each scrape."""
    stats = parts.engine.stats
    return {
        "num_requests_waiting": Level("Requests that wait for a place in the batch.", lambda: stats().waiting),
        "num_rows_running": Level("Answers that are drawn now.", lambda: stats().running),
        "prompt_tokens": Level("Tokens of prompts.", lambda: stats().prompt_tokens, counts=True),
        "generation_tokens": Level("Tokens drawn.", lambda: stats().tokens, counts=True),
        "steps": Level(
            "Steps of the engine.",
            lambda: {"merged": stats().merged_steps, "per_row": stats().per_row_steps},
            counts=True,
            label="way",
        ),
        "switches": Level("Times that other weights were merged.", lambda: stats().switches, counts=True),
        "scoring_waiting": Level("Answers that wait to be scored.", lambda: parts.scorer.counted.waiting),
        "scoring_dropped": Level(
            "Answers that were not scored, as too many waited.", lambda: parts.scorer.counted.dropped, counts=True
        ),
        "scoring_failed": Level("Answers on which a reward broke.", lambda: parts.scorer.counted.failed, counts=True),
        "log_records_lost": Level("What the log could not keep.", lambda: parts.log.losses.records, counts=True),
    }


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket at the address that was asked for, before anything heavy is loaded.

    Raises:
        ParetoError: it cannot be had.
    """
    try:
        family, kind, _, _, where = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as e:
        raise _cannot(settings, e) from None
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
        except OSError as e:
            raise _cannot(settings, e) from None
        yield listener


def address(listener: socket.socket) -> str:
    """Its URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cannot(settings: Settings, e: OSError) -> ParetoError:
    return ParetoError(f"--host {settings.host} --port {settings.port}: cannot listen there: {e.strerror or e}")


def _config(parts: Parts, settings: Settings) -> uvicorn.Config:
    protocol: Any = partial(Connection, _connections())
    return uvicorn.Config(
        make_app(parts),
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.timeout + GRACE),
    )


def _connections() -> int:
    """How many may be open at a time, in as many files as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(64, most - FILES)
