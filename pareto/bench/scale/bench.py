"""``pareto bench scale``: sweeps on more workers than there are here, and what becomes of them when something dies."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from pareto.bench.hardware import hardware
from pareto.bench.scale.cluster import Trials
from pareto.bench.scale.faults.recovery import Recovered, cluster, driver_deaths, worker_deaths
from pareto.bench.scale.faults.schedules import Survived, survive
from pareto.bench.scale.simulation import FULL, Sizes, simulation
from pareto.errors import ParetoError

PARTS = ("simulation", "faults", "recovery")
KILLS = 5
"""Of nodes, and of workers."""


def bench_scale(
    parts: Sequence[str],
    storage: str | None,
    trials: Trials,
    seed: int,
    schedules: int,
    say: Callable[[str], None],
    sizes: Sizes = FULL,
) -> dict[str, Any]:
    """Measure.

    Args:
        parts: of ``PARTS``.
        storage: see ``simulation``.
        trials: see ``simulation``.
        seed: the first of the seeds.
        schedules: of faults.
        say: told of progress.
        sizes: see ``simulation``.

    Returns:
        ``bench``, ``hardware``, ``date``, ``figures``; of the simulation see there; ``schedules`` and ``recoveries``.

    Raises:
        ParetoError: no such part; a sweep among faults does not come to its end; there is no PostgreSQL.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise ParetoError(f"--parts: no {unknown[0]!r}; there are {', '.join(PARTS)}")
    result: dict[str, Any] = {
        "bench": "scale",
        "hardware": hardware(),
        "date": datetime.date.today().isoformat(),
        "figures": {},
    }
    if "simulation" in parts:
        result |= simulation(storage, trials, seed, say, sizes)
    survived: list[Survived] = []
    if "faults" in parts:
        survived = survive(range(seed, seed + schedules), say)
        result["schedules"] = [asdict(row) for row in survived]
        result["figures"]["schedules"] = len(survived)
    recovered: list[Recovered] = []
    if "recovery" in parts:
        recovered = _recoveries(say)
        result["recoveries"] = [asdict(row) for row in recovered]
        result["figures"] |= _recovery_figures(recovered)
    ended: list[Survived | Recovered] = [*survived, *recovered]
    if ended:
        result["figures"] |= {
            "lost_results": sum(len(row.lost) for row in ended),
            "trained_twice": sum(len(row.twice) for row in ended),
            "not_returned": sum(row.left for row in ended),
        }
    return result


def _recoveries(say: Callable[[str], None]) -> list[Recovered]:
    found = [*worker_deaths(None, KILLS, say), *driver_deaths(None, say)]
    with cluster(4) as nodes:
        if nodes is None:
            say("Ray is not installed: pip install 'pareto[ray]'")
        else:
            found += [*worker_deaths(nodes, KILLS, say), *driver_deaths(nodes, say)]
    return found


def _recovery_figures(recovered: Sequence[Recovered]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, kind in (
        ("recover_node_seconds", "node (ray)"),
        ("recover_worker_seconds", "worker (local)"),
        ("recover_driver_seconds", "driver (ray)"),
        ("recover_driver_local_seconds", "driver (local)"),
    ):
        if seconds := [row.seconds for row in recovered if row.killed.startswith(kind)]:
            figures |= {name: statistics.median(seconds), f"longest_{name}": max(seconds)}
    for kind in ("local", "ray"):
        if first := [row.first_trial for row in recovered if row.first_trial and f"({kind})" in row.killed]:
            figures[f"first_trial_{kind}_seconds"] = statistics.median(first)
    return {**figures, "steps_behind_a_checkpoint": max(row.behind for row in recovered)}
