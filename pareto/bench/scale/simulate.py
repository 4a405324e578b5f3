"""A sweep in virtual time: the real loop, driver and study, and a desk whose workers are simulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial

from pareto.bench.scale.cluster import Simulated
from pareto.bench.scale.surface import REWARDS, measured
from pareto.config import Recipe
from pareto.drivers import Driver
from pareto.drivers.trials import Candidate, create
from pareto.engines.engine import Engine
from pareto.engines.watched import Watched
from pareto.engines.work import Ended, Work
from pareto.simplex import from_sticks
from pareto.steady import Direct, Steady, Verdict


@dataclass(frozen=True)
class Sweep:
    """How a simulated sweep went; times in virtual seconds from its start."""

    slots: int
    ends: list[float]
    """When each trial was told, in order."""
    weights: list[Sequence[float]]
    """That they were trained at, in the same order."""
    tail: float
    """When the last trial was begun for the first time."""
    spans: list[tuple[float, float]]
    """Begin and end of every stay in a slot."""
    useful: float
    """Seconds of slots for trials that were told."""
    leader: list[float]
    """Seconds that the leading process had been busy in all when each trial was asked for."""
    failed: int

    @property
    def makespan(self) -> float:
        """Seconds to the last result."""
        return self.ends[-1]

    @property
    def efficiency(self) -> float:
        """Share of all slot seconds, the tail's too, that trials used which were told."""
        return self.useful / (self.slots * self.makespan)

    @property
    def idle_before_tail(self) -> float:
        """Share of the slot seconds before the tail in which nothing ran."""
        used = sum(min(end, self.tail) - min(begin, self.tail) for begin, end in self.spans)
        return max(0.0, 1 - used / (self.slots * self.tail)) if self.tail else 0.0

    @property
    def tail_share(self) -> float:
        """Share of the time in which nothing was left to begin."""
        return 1 - self.tail / self.makespan


@final
class SimulatedDesk:
    """What the loop asks of a sweep whose trials only take time."""

    def __init__(self, engine: Engine, seed: int, done: Callable[[FrozenTrial], None]) -> None:
        self.failures = 0
        self._engine, self._seed, self._done = engine, seed, done

    def work(self, trial: FrozenTrial) -> Work:
        """See ``Desk.work``."""
        return Work("simulated:trial", {"index": trial.user_attrs["index"]}, label=f"trial-{trial.number}")

    def made(self, work: Work) -> None:
        """See ``Desk.made``: nothing was made before."""

    def submit(self, work: Work) -> None:
        """See ``Desk.submit``."""
        self._engine.submit(work)

    def wait(self) -> list[tuple[Ended, Mapping[str, Any] | None]]:
        """See ``Desk.wait``."""
        ended = self._engine.wait(math.inf)
        return [(e, e.told if e.outcome == "done" else None) for e in ended]

    def capacity(self) -> int:
        """See ``Desk.capacity``."""
        return self._engine.capacity()

    def finish(self, trial: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        """See ``Desk.finish``."""
        weights = list(trial.user_attrs["weights"].values())
        return Verdict(measured(weights, self._seed, trial.user_attrs["index"]).tolist())

    def finished(self, trial: FrozenTrial) -> None:
        """See ``Desk.finished``."""
        self._done(trial)

    def failed(self, trial: FrozenTrial, reason: str) -> None:
        """See ``Desk.failed``."""
        self.failures += 1

    def more(self) -> list[Work]:
        """See ``Desk.more``: nothing but the trials counts here."""
        return []


@final
class _Timed:
    """A driver, and when it was asked."""

    def __init__(self, driver: Driver, engine: Simulated) -> None:
        self.last = 0.0
        self.leader: list[float] = []
        self._driver, self._engine = driver, engine

    def ask(self) -> Trial | None:
        trial = self._driver.ask()
        if trial is not None:
            self.last = self._engine.now()
            self.leader.append(self._engine.leader_seconds)
        return trial

    def finished(self) -> bool:
        return self._driver.finished()


@final
class Plain:
    """Proposes weights at random, within a budget, in no time: what a driver takes is charged to the engine.

    The loop and the study are real; a driver that looks at every trial at every ask could not be asked 16,384 times
    here.

    Args:
        study: the study.
        recipe: names the budget.
        engine: the workers.
        cost: seconds of the leading process for a trial, by the number of trials before it.
    """

    def __init__(self, study: optuna.Study, recipe: Recipe, engine: Simulated, cost: Callable[[int], float]) -> None:
        self._study, self._recipe, self._engine, self._cost = study, recipe, engine, cost
        self._asked, self._rng = 0, np.random.default_rng(recipe.seed)

    def ask(self) -> Trial | None:
        """See ``Driver.ask``."""
        if self.finished():
            return None
        self._engine.charge(self._cost(self._asked))
        sticks = self._rng.uniform(size=len(REWARDS) - 1)
        weights = tuple(from_sticks(sticks).tolist())
        self._asked += 1
        return create(
            self._study, self._recipe, Candidate(self._asked - 1, weights, tuple(sticks.tolist()), {}, "plain")
        )

    def finished(self) -> bool:
        """See ``Driver.finished``."""
        return self._asked >= self._recipe.driver.trials


def new_study() -> optuna.Study:
    """A study in memory."""
    said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize"] * len(REWARDS))
    optuna.logging.set_verbosity(said)
    return study


def simulate(
    driver: Callable[[optuna.Study], Driver],
    engine: Simulated,
    seed: int,
    *,
    latency: float = 0.0,
    patience: float | None = None,
) -> Sweep:
    """Run a sweep.

    Args:
        driver: makes the driver of a study.
        engine: the workers, at time 0.
        seed: of the noise.
        latency: seconds that the storage takes for a trial, half of it at ask and half at tell.
        patience: seconds without progress after which a trial is begun anew; default: nothing is ever lost.
    """
    ends: list[float] = []
    weights: list[Sequence[float]] = []

    @contextmanager
    def guard() -> Iterator[None]:
        yield
        engine.charge(latency / 2)

    def done(trial: FrozenTrial) -> None:
        ends.append(engine.now())
        weights.append(tuple(trial.user_attrs["weights"].values()))

    study = new_study()
    asking = _Timed(driver(study), engine)
    watched = Watched(engine, patience) if patience else engine
    desk = SimulatedDesk(watched, seed, done)
    Steady(study, asking, desk, Direct(study, guard)).run()
    useful, spans = engine.busy_seconds, engine.spans
    return Sweep(engine.slots, ends, weights, asking.last, spans, useful, asking.leader, desk.failures)
