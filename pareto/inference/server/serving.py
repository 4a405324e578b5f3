"""The process: what a server is made of, the socket it listens on, and how it ends."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import uvicorn

from pareto.errors import ParetoError
from pareto.inference.server.app import make_app
from pareto.inference.server.asking import Parts
from pareto.inference.server.connections import Connection, Hall, files
from pareto.inference.server.engine import Engine
from pareto.inference.server.metrics import Level, Metrics
from pareto.inference.server.remembering import Remembered
from pareto.inference.server.routing import Arms
from pareto.inference.server.scoring import Scorer, embed
from pareto.inference.server.settings import Settings
from pareto.store.run import Run
from pareto.traffic.log import TrafficLog
from pareto.traffic.retention import Retention
from pareto.traffic.watching import Watching

BACKLOG = 1024
"""Connections that the system may hold for this process, which takes as many at once before it looks at any."""
FILES = 256 + BACKLOG
"""Files that are kept for other things than connections that are known."""
SWITCH = 5e-4
"""Seconds after which a thread that waits for the interpreter gets it, a tenth of Python's own: the engine gives it
away in each of a step's many operations. Beside a thread that computes a step takes 2.5 times as long, not 3.3."""
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
        sys.setswitchinterval(SWITCH)
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
        log = stack.enter_context(TrafficLog.open(run, create=True, note=say))
        arms = Arms.of(run, candidate, settings.beta_share, breaking=settings.breaking, dtype=settings.dtype)
        stack.callback(Retention(log, settings.retention_days, note=say).close)
        watching = stack.enter_context(closing(Watching(run, log, settings.watch_share, embed, note=say)))
        scorer = stack.enter_context(closing(Scorer(arms.judging, log, settings.score_share, watching)))
        engine = Engine(arms.base, arms.bank, rows=settings.rows, waiting=settings.max_waiting)
        stack.callback(engine.close, settings.timeout)
        metrics = Metrics()
        engine.on_step = metrics.stepped
        scorer.on_scored = metrics.judged
        parts = Parts(settings, arms.base, run.recipe, engine, arms, scorer, log, metrics)
        stack.callback(parts.encoding.shutdown)
        stack.enter_context(closing(parts.docket))
        metrics.watch(levels_of(parts))
        yield parts


def levels_of(parts: Parts) -> Mapping[str, Level]:
    """What the metrics read from the parts at each scrape."""
    stats, frontiers = parts.engine.stats, parts.arms.places.values()
    remembered: dict[str, list[Remembered[Any, Any]]] = {
        "place": [f.found for f in frontiers],
        "priorities": [f.reaches for f in frontiers],
    }
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
        "cache_queries": Level(
            "Times that something remembered was wanted: a place, or what priorities leave.",
            lambda: {name: sum(c.hits + c.misses for c in caches) for name, caches in remembered.items()},
            counts=True,
            label="cache",
        ),
        "cache_hits": Level(
            "Times that it was there.",
            lambda: {name: sum(c.hits for c in caches) for name, caches in remembered.items()},
            counts=True,
            label="cache",
        ),
        "switches": Level("Times that other weights were merged.", lambda: stats().switches, counts=True),
        "scoring_waiting": Level("Answers that wait to be scored.", lambda: parts.scorer.counted.waiting),
        "scoring_dropped": Level(
            "Answers that were not scored, as too many waited.", lambda: parts.scorer.counted.dropped, counts=True
        ),
        "scoring_failed": Level("Answers on which a reward broke.", lambda: parts.scorer.counted.failed, counts=True),
        "watching_waiting": Level("Prompts that wait to be watched.", lambda: parts.scorer.watching.counted.waiting),
        "watching_dropped": Level(
            "Prompts that were not watched, as too many waited.",
            lambda: parts.scorer.watching.counted.dropped,
            counts=True,
        ),
        "watching_failed": Level(
            "Prompts on which the encoder broke.", lambda: parts.scorer.watching.counted.failed, counts=True
        ),
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
    protocol: Any = partial(Connection, Hall(_connections(), parts.engine.patience))
    return uvicorn.Config(
        make_app(parts),
        http=protocol,
        backlog=BACKLOG,
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
    most = files()
    return max(most // 2, most - FILES)
