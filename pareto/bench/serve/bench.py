"""All measurements of the server, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from pareto.bench.hardware import hardware
from pareto.bench.serve.crowd import crowd
from pareto.bench.serve.drift import drift_bench
from pareto.bench.serve.fuzz import fuzz
from pareto.bench.serve.ground import free
from pareto.bench.serve.live import live
from pareto.bench.serve.load import load
from pareto.bench.serve.mixed import mixed
from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.store.run import Run

CROWD = 3000
"""Connections that only stand there."""


def bench_serve(
    run: Run,
    parts: Sequence[str],
    *,
    clients: int,
    seconds: float,
    cases: int,
    repetitions: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure.

    Args:
        run: is served; a copy without its priorities.
        parts: ``mixed``, ``fuzz``, ``load``, ``crowd``, ``drift``.
        clients: that ask at the same time.
        seconds: of load; a tenth of them of each phase of the crowd.
        cases: made up from the OpenAPI page.
        repetitions: of the simulation of drift.
        say: told of progress, a line at a time.

    Returns:
        ``bench``, ``run``, ``hardware``, ``date``, ``figures``, and what each part found under its name.

    Raises:
        ParetoError: no such part, or see the parts.
    """
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "mixed": lambda: mixed(run, clients, 1, 32, 3, say),
        "fuzz": lambda: _fuzzed(run, cases, say),
        "load": lambda: load(run, seconds, clients, 32, say),
        "crowd": lambda: crowd(run, CROWD, seconds / 10, 32, say),
        "drift": lambda: drift_bench(repetitions, say=say),
    }
    for name in parts:
        if name not in ways:
            raise ParetoError(f"--parts: no '{name}'; {suggest(name, list(ways))}")
    found = {name: ways[name]() for name in parts}
    figures: dict[str, Any] = {}
    for part in found.values():
        figures |= part.pop("figures")
    return {
        "bench": "serve",
        "run": run.name,
        "hardware": hardware(),
        "date": date.today().isoformat(),
        "figures": figures,
        **found,
    }


def _fuzzed(run: Run, cases: int, say: Callable[[str], None]) -> dict[str, Any]:
    say(f"fuzz: {cases} cases")
    with free(run) as copied, live(copied, "--max-tokens", "8", "--timeout", "5") as server:
        found = fuzz(server.url, cases)
    return {
        "cases": found.cases,
        "statuses": {str(k): n for k, n in sorted(found.statuses.items())},
        "broken": found.broken,
        "figures": {"fuzz_cases": found.cases, "fuzz_server_errors": found.server_errors},
    }
