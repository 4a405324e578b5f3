"""How a sweep would go on 8 to 4,096 workers, and what would hold it up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pareto import drivers
from pareto.bench.scale.cluster import Simulated, Trials
from pareto.bench.scale.faults.database import database
from pareto.bench.scale.simulate import Plain, Sweep, simulate
from pareto.bench.scale.storage import Cost, storage_cost
from pareto.bench.scale.surface import REWARDS, recipe, share

PYMOO: dict[str, Any] = {"family": "pymoo", "method": "NSGA3"}


@dataclass(frozen=True)
class Sizes:
    """How much is simulated."""

    slots: int
    """Of the comparison of drivers."""
    trials: int
    """Of each of its sweeps."""
    seeds: int
    """Sweeps of each driver."""
    efficiency_seeds: int
    """Sweeps of the lattice: what the tail costs is luck."""
    optuna: tuple[str, ...]
    """Samplers."""
    optuna_trials: int
    """Of theirs: they look at every trial for every proposal."""
    workers: tuple[int, ...]
    each: int
    """Trials of each of these workers, at most ``most`` in all."""
    most: int
    storage: tuple[int, int]
    """Trials that run while the storage is measured."""
    told: int
    """Trials at each."""


FULL = Sizes(64, 640, 2, 5, ("NSGAIISampler", "TPESampler"), 256, (8, 64, 256, 1024, 4096), 10, 10240, (8, 64), 24)
QUICK = Sizes(16, 64, 1, 2, (), 64, (16, 64), 4, 128, (1, 3), 3)


def simulation(
    storage: str | None, trials: Trials, seed: int, say: Callable[[str], None], sizes: Sizes = FULL
) -> dict[str, Any]:
    """Simulate.

    Args:
        storage: address of a PostgreSQL database whose speed is measured; default: one that is made for it, where this
            machine has PostgreSQL.
        trials: how long trials take.
        seed: the first of the seeds.
        say: told of each part.
        sizes: how much.

    Returns:
        ``rows`` by driver and ``workers`` by their number; ``curves``: hypervolume against hours and evaluations by
        driver, of the first seed; ``storage``; ``figures``; ``seeds``; ``trials``.
    """
    say("the storage")
    storages = {"sqlite": storage_cost(None, sizes.storage, sizes.told)}
    with database(storage, say) as url:
        if url:
            storages["postgresql"] = storage_cost(url, sizes.storage, sizes.told)
    slowest = list(storages.values())[-1]
    latency = slowest.seconds(sizes.slots)

    def sweeps(driver: Mapping[str, Any], count: int, times: Trials = trials, **how: Any) -> list[Sweep]:
        return [_sweep(driver, sizes, times, seed + k, latency, **how) for k in range(count)]

    say("drivers")
    population = sizes.slots - len(REWARDS)  # with the experts it fills the slots
    barrier = {**PYMOO, "options": {"pop_size": population}}
    steady = {**PYMOO, "options": {"pop_size": population, "steady": True}}
    found = {"lattice": sweeps({}, sizes.efficiency_seeds)}
    few = {"family": "optuna", "trials": sizes.optuna_trials}
    found |= {name: sweeps({**few, "method": name}, 1) for name in sizes.optuna}
    found |= {"NSGA3, barrier": sweeps(barrier, sizes.seeds), "NSGA3, steady": sweeps(steady, sizes.seeds)}
    rows = [{"driver": name, **_row(each)} for name, each in found.items()]
    faulty = Trials(trials.median, trials.sigma, lost=0.02, hung=0.01)
    rows.append({"driver": "lattice, 2 % lost, 1 % hung", **_row(sweeps({}, 1, faulty, patience=trials.median))})

    say("controls")
    equal = Trials(trials.median, 0.0)
    generations = replace(sizes, trials=sizes.slots + (sizes.trials // sizes.slots - 1) * population)
    even = {n: _sweep(how, generations, equal, seed, 0.0) for n, how in (("barrier", barrier), ("steady", steady))}
    control = {
        "equal_times_per_hour": even["barrier"].makespan / even["steady"].makespan,
        "equal_times_idle_before_tail": even["steady"].idle_before_tail,
    }

    say("workers")
    lattice = _leader_cost(found["lattice"][0], latency)
    workers = [_crowd(n, sizes, trials, seed, lattice, slowest) for n in sizes.workers]
    free = _crowd(sizes.workers[1], sizes, trials, seed, Cost(0.0, 0.0), Cost(0.0, 0.0))
    control["no_latency_idle_before_tail"] = free["idle_before_tail"]
    by_workers = {row["workers"]: row for row in workers}

    figures = {
        f"efficiency_{sizes.slots}": statistics.median(s.efficiency for s in found["lattice"]),
        **{f"efficiency_{n}": by_workers[n]["efficiency"] for n in by_workers if n > sizes.slots},
        "idle_before_tail": max(s.idle_before_tail for s in found["lattice"] + found["NSGA3, steady"]),
        **_compared(found["NSGA3, barrier"], found["NSGA3, steady"]),
        "trials_per_second_limit": 1 / latency,
        "storage_limit_workers": slowest.most_workers(trials.median),
        "driver_limit_workers": trials.median / lattice.seconds(sizes.trials),
        **control,
    }
    return {
        "seeds": list(range(seed, seed + sizes.efficiency_seeds)),
        "trials": asdict(trials),
        "figures": figures,
        "rows": rows,
        "workers": workers,
        "storage": {
            name: {**asdict(cost), "trials_per_second": 1 / cost.seconds(sizes.slots)}
            for name, cost in storages.items()
        },
        "driver": asdict(lattice),
        "curves": {name: _curve(each[0]) for name, each in found.items()},
    }


def _sweep(
    driver: Mapping[str, Any], sizes: Sizes, trials: Trials, seed: int, latency: float, patience: float | None = None
) -> Sweep:
    asked = recipe({"trials": sizes.trials, **driver}, seed)
    engine = Simulated(sizes.slots, trials, seed, count_cpu=True)
    return simulate(lambda study: drivers.make(asked, study), engine, seed, latency=latency, patience=patience)


def _row(sweeps: Sequence[Sweep]) -> dict[str, Any]:
    """Medians over seeds."""
    numbers = [
        {
            "efficiency": s.efficiency,
            "idle_before_tail": s.idle_before_tail,
            "tail_share": s.tail_share,
            "hours": s.makespan / 3600,
            "hypervolume": share(s.weights),
            "leader_ms": 1000 * s.leader[-1] / len(s.leader),
            "last_leader_ms": 1000 * _leader_cost(s).seconds(len(s.leader)),
            "failed": s.failed,
        }
        for s in sweeps
    ]
    row = {name: float(statistics.median(n[name] for n in numbers)) for name in numbers[0]}
    efficiencies = [s.efficiency for s in sweeps]
    return {**row, "lowest_efficiency": min(efficiencies), "highest_efficiency": max(efficiencies)}


def _leader_cost(sweep: Sweep, without: float = 0.0) -> Cost:
    """Seconds of the leading process for a trial, by the trials before it, but for a part that is the same for all."""
    taken = np.array(sweep.leader) - without * np.arange(len(sweep.leader))
    n = np.arange(len(taken))
    square, linear, _ = np.polyfit(n, taken, 2)
    return Cost(max(float(linear), 1e-6), max(2 * float(square), 0.0))


def _crowd(slots: int, sizes: Sizes, trials: Trials, seed: int, driver: Cost, storage: Cost) -> dict[str, Any]:
    """A sweep on so many workers with a driver and a storage that take what was measured on fewer."""
    asked = recipe({"trials": min(sizes.each * slots, sizes.most)}, seed)
    engine = Simulated(slots, trials, seed, count_cpu=False)

    def cost(n: int) -> float:
        return driver.seconds(n) + storage.seconds(min(n, slots))

    s = simulate(lambda study: Plain(study, asked, engine, cost), engine, seed)
    return {
        "workers": slots,
        "trials": len(s.ends),
        "efficiency": s.efficiency,
        "idle_before_tail": s.idle_before_tail,
        "tail_share": s.tail_share,
        "hours": s.makespan / 3600,
        "leader_busy": s.leader[-1] / s.tail,
    }


def _compared(barrier: Sequence[Sweep], steady: Sequence[Sweep]) -> dict[str, float]:
    """What a barrier gains per evaluation and loses per hour, means over seeds."""
    pairs = list(zip(barrier, steady, strict=True))
    shares = [(_shares(b), _shares(s)) for b, s in pairs]
    per_evaluation = [np.mean(b[len(b) // 10 :] / s[len(b) // 10 :]) for b, s in shares]
    per_hour, won = [], []
    for (b, s), (of_b, of_s) in zip(pairs, shares, strict=True):
        by_then = sum(end <= s.makespan for end in b.ends)
        per_hour.append(len(s.ends) / by_then)
        won.append(of_s[-1] / of_b[by_then - 1])
    return {
        "barrier_per_evaluation": float(np.mean(per_evaluation)),
        "steady_per_hour": float(np.mean(per_hour)),
        "steady_vs_barrier_hypervolume": float(np.mean(won)),
    }


def _shares(sweep: Sweep) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Share of the hypervolume after each trial, (n,)."""
    return np.array([share(sweep.weights[: n + 1]) for n in range(len(sweep.weights))])


def _curve(sweep: Sweep) -> dict[str, list[float]]:
    """Share of the hypervolume after every eighth trial."""
    at = range(7, len(sweep.ends), 8)
    return {
        "hours": [round(sweep.ends[n] / 3600, 4) for n in at],
        "hypervolume": [round(share(sweep.weights[: n + 1]), 5) for n in at],
    }
