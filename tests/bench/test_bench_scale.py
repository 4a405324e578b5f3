"""The simulator against what is known without it: sums of times, equal times, work that is lost."""

from __future__ import annotations

import heapq
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pareto import drivers
from pareto.bench.scale.cluster import Simulated, Trials
from pareto.bench.scale.picture import scale_picture
from pareto.bench.scale.simulate import Plain, Sweep, simulate
from pareto.bench.scale.simulation import QUICK, simulation
from pareto.bench.scale.storage import Cost
from pareto.bench.scale.surface import recipe, share, truth
from pareto.engines.work import Work
from pareto.simplex import corners, das_dennis

BARRIER = {"family": "pymoo", "method": "NSGA3", "options": {"pop_size": 5}}
TIMES = Trials()
STEADY = {"family": "pymoo", "method": "NSGA3", "options": {"pop_size": 5, "steady": True}}


def _swept(
    driver: dict[str, Any], slots: int = 8, trials: int = 38, times: Trials = TIMES, seed: int = 0, **how: Any
) -> Sweep:
    asked = recipe({"trials": trials, **driver}, seed)
    engine = Simulated(slots, times, seed, count_cpu=False)
    return simulate(lambda study: drivers.make(asked, study), engine, seed, **how)


def _plain(slots: int, trials: int, times: Trials, seed: int = 0, cost: float = 0.0) -> Sweep:
    asked = recipe({"trials": trials}, seed)
    engine = Simulated(slots, times, seed, count_cpu=False)
    return simulate(lambda study: Plain(study, asked, engine, lambda n: cost), engine, seed)


@settings(max_examples=20)
@given(slots=st.integers(1, 9), trials=st.integers(3, 30), sigma=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_sweep_takes_as_long_as_its_times_laid_into_the_slots_one_by_one(
    slots: int, trials: int, sigma: float, seed: int
) -> None:
    sweep = _plain(slots, trials, Trials(180.0, sigma), seed)
    rng, free, seconds = np.random.default_rng(seed), [0.0] * slots, []
    for _ in range(trials):
        seconds.append(180 * math.exp(sigma * rng.standard_normal()))
        rng.uniform(size=2)
        heapq.heapreplace(free, free[0] + seconds[-1])
    assert sweep.makespan == pytest.approx(max(free))
    assert sweep.efficiency == pytest.approx(sum(seconds) / (slots * max(free)))
    assert sweep.idle_before_tail == pytest.approx(0, abs=1e-9)


def test_with_equal_times_a_barrier_costs_nothing() -> None:
    options = {"pop_size": 13}  # with the experts it fills the slots
    how: dict[str, Any] = {"slots": 16, "trials": 16 + 2 * 13, "times": Trials(180.0, 0.0)}
    assert _swept({**BARRIER, "options": options}, **how).makespan == pytest.approx(3 * 180)
    assert _swept({**STEADY, "options": {**options, "steady": True}}, **how).makespan == pytest.approx(3 * 180)


def test_with_spread_times_steady_state_leaves_no_slot_idle_and_a_barrier_many() -> None:
    barrier, steady = _swept(BARRIER), _swept(STEADY)
    assert steady.idle_before_tail == pytest.approx(0, abs=1e-9)
    assert barrier.idle_before_tail > 0.3
    assert barrier.makespan > 1.4 * steady.makespan


def test_a_slow_storage_leaves_slots_idle_and_a_quick_one_does_not() -> None:
    times = Trials(180.0, 0.5)
    limit = Cost(30.0, 0.0).most_workers(180.0)
    assert limit == 6
    assert _plain(3, 30, times, cost=30.0).idle_before_tail < 0.3
    crowded = _plain(24, 96, times, cost=30.0)
    assert crowded.makespan >= 96 * 30
    assert crowded.efficiency < 0.3
    assert Cost(1.0, 0.5).most_workers(180.0) == pytest.approx(18)  # 18 · (1 + 0.5 · 18) = 180


def test_what_is_lost_or_stands_still_is_carried_again_and_every_trial_is_told() -> None:
    faulty = Trials(180.0, 0.5, lost=0.1, hung=0.05)
    sweep = _swept({}, times=faulty, patience=60.0)
    assert len(sweep.ends) == 38
    assert len(sweep.spans) > 38
    assert sweep.efficiency < _swept({}).efficiency + 0.1
    assert sum(end - begin for begin, end in sweep.spans) > sweep.useful
    with pytest.raises(RuntimeError, match="nothing will ever end"):
        _swept({}, times=Trials(hung=1.0))


def test_a_work_is_here_once_and_a_cancelled_one_is_not_told() -> None:
    engine = Simulated(1, Trials(10.0, 0.0), 0, count_cpu=False)
    works = [Work("simulated:trial", {"k": k}) for k in range(3)]
    for work in works:
        engine.submit(work)
    with pytest.raises(ValueError, match="here already"):
        engine.submit(works[0])
    assert engine.wait(4.0) == []
    engine.cancel(works[0].key)
    assert [e.key for e in engine.wait(math.inf)] == [works[1].key]
    assert engine.now() == 14.0
    assert [e.key for e in engine.wait(math.inf)] == [works[2].key]
    assert (engine.now(), engine.capacity()) == (24.0, 1)


def test_no_weights_dominate_others_and_all_of_them_are_the_front() -> None:
    values = truth(das_dennis(3, 12))
    assert np.allclose((values**2).sum(axis=1), 1)
    assert share([]) == 0
    assert share(list(corners(3))) == 0
    assert 0.5 < share(list(das_dennis(3, 12))) < 1
    assert share(list(das_dennis(3, 60))) == pytest.approx(1)


def test_the_simulation_says_what_it_found_and_draws_it(tmp_path: Path) -> None:
    result = simulation(None, Trials(), 0, lambda line: None, QUICK)
    figures = result["figures"]
    assert figures["idle_before_tail"] < 0.05
    assert figures["steady_per_hour"] > 1.2
    assert figures["equal_times_per_hour"] == pytest.approx(1, abs=0.01)
    assert figures["no_latency_idle_before_tail"] == pytest.approx(0, abs=1e-9)
    assert 0.5 < figures["efficiency_16"] <= 1
    assert [row["workers"] for row in result["workers"]] == [16, 64]
    scale_picture(result, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 10_000
