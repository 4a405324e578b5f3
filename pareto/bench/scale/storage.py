"""How many trials a second a study's storage takes, through the loop, the leases and Optuna as in a sweep."""

from __future__ import annotations

import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import optuna
from optuna.trial import Trial

from pareto.bench.scale.cluster import Simulated, Trials
from pareto.bench.scale.simulate import Plain, SimulatedDesk
from pareto.bench.scale.surface import recipe
from pareto.steady import Direct, Steady
from pareto.store.run import Run
from pareto.store.study import StudyStore


@dataclass(frozen=True)
class Cost:
    """Seconds of a trial that grow with the trials beside it: Optuna reads all that run at every look."""

    fixed: float
    """Seconds."""
    each: float
    """Seconds for each further trial: one that runs, or one that is in the study."""

    def seconds(self, n: float) -> float:
        """Of one trial beside n."""
        return self.fixed + self.each * n

    def most_workers(self, median: float) -> float:
        """Workers whose trials of ``median`` seconds take all of the leading process's time: w · cost(w) = median."""
        if self.each <= 0:
            return median / self.fixed
        return float(((self.fixed**2 + 4 * self.each * median) ** 0.5 - self.fixed) / (2 * self.each))


def storage_cost(url: str | None, running: tuple[int, int], trials: int) -> Cost:
    """Measured at two numbers of running trials.

    Args:
        url: of a PostgreSQL database; ``None``: SQLite in a temporary folder.
        running: trials that run all the time, the fewer first.
        trials: asked and told at each.

    Raises:
        ParetoError: the database cannot be used.
    """
    few, many = running
    at_few, at_many = (_seconds(url, n, trials) for n in running)
    each = max(0.0, (at_many - at_few) / (many - few))
    return Cost(max(at_few - each * few, 1e-6), each)


def _seconds(url: str | None, running: int, trials: int) -> float:
    """Of asking and telling one trial beside so many."""
    name = f"scale-{uuid.uuid4().hex[:8]}"
    asked_for = recipe({"trials": running + trials}, seed=0, name=name)
    with (
        tempfile.TemporaryDirectory() as root,
        StudyStore(Run.create(Path(root), asked_for, url), url, asked_for.names) as store,
    ):
        engine = Simulated(running, Trials(), 0, count_cpu=False)
        driver = _Stopwatch(Plain(store.study, asked_for, engine, lambda n: 0.0))
        try:
            Steady(store.study, driver, SimulatedDesk(engine, 0, lambda trial: None), Direct(store.study)).run()
        finally:
            optuna.delete_study(study_name=name, storage=store.study._storage)
    # The median, as a disk that others use too stops now and then.
    return float(np.median(np.diff(driver.asked[running - 1 :])))


@final
class _Stopwatch:
    """A driver, and the seconds at which each trial was asked for."""

    def __init__(self, driver: Plain) -> None:
        self.asked: list[float] = []
        self._driver = driver

    def ask(self) -> Trial | None:
        trial = self._driver.ask()
        if trial is not None:
            self.asked.append(time.perf_counter())
        return trial

    def finished(self) -> bool:
        return self._driver.finished()
