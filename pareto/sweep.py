"""The loop: ask for weights, train an adapter, measure it, tell. Then soups, then the test split.

Everything that is made is a file named by a hash of what made it, and everything that was decided is in the
study. A process that is killed and started again finds what is finished and goes on with the rest; several
processes on one study share the trials.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pareto import drivers
from pareto.choice.constraints import violations
from pareto.config import Recipe
from pareto.drivers.trials import point_id
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.front.indicators import hypervolume
from pareto.records import Point
from pareto.soups.weights import soup_of, unexplored
from pareto.store.files import discard, sweep_leftovers, write_json
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.study import StudyStore
from pareto.training.train import Job, train
from pareto.watch import Watcher
from pareto.workbench import Workbench, adder

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial


def sweep(
    recipe: Recipe,
    root: str | Path,
    storage: str | None,
    watch: Watcher,
    *,
    worker: bool = False,
    inherited: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a sweep to its end, or go on with one.

    Args:
        recipe: what to do.
        root: folder of runs.
        storage: address of a PostgreSQL database for the study; ``None``: SQLite in the run's folder.
        watch: told of phases, progress, trials.
        worker: only carry trials; leave soups and the test split to the main process.
        inherited: objective → adapter in the run's folder that its expert starts from; default: the base.

    Returns:
        ``run``, ``trials``, ``seconds`` by phase in this process, ``peak_memory_gb`` of this process.

    Raises:
        ParetoError: anything that the user can put right.
    """
    with full_disk_told(Path(root) / recipe.name):
        new = not (Path(root) / recipe.name / "run.json").exists()
        run = Run.create(root, recipe, storage)
        sweep_leftovers(run.path)
        try:
            with StudyStore(run, storage, recipe.names) as store:
                work = _Sweep(run, recipe, store, watch, inherited or {})
                work.prepare()
                work.trials(worker)
                if not worker:
                    with store.lock():
                        work.finish()
        except ParetoError:
            # A recipe that fails before anything is made does not keep its name from the corrected one.
            if new and not any(run.rollouts.iterdir()):
                discard(run.path)
            raise
        return {
            "run": run.name,
            "trials": len(work.complete()),
            "seconds": {k: round(v, 1) for k, v in work.clock.seconds.items()},
            "peak_memory_gb": round(_peak_memory_gb(), 2),
        }


@dataclass
class _Sweep:
    run: Run
    recipe: Recipe
    store: StudyStore
    watch: Watcher
    inherited: Mapping[str, str]

    # -- what every trial stands on ------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Load the model, make the pool and its scores, measure the base, fix the normalisation."""
        self.bench = Workbench(self.run, self.recipe, self.watch)
        self.clock = self.bench.clock
        # Before anything takes long: this tells the recipe's mistakes that only the libraries know.
        self.driver = drivers.make(self.recipe, self.store.study)
        rewards = zip(self.recipe.names, self.bench.rewards, strict=True)
        minimised = [name for name, reward in rewards if reward.sign < 0]
        for level in self.recipe.priorities:
            level.check_directions(minimised)
        # One process makes what is shared; the others wait here and find it made.
        with self.store.lock():
            _ = self.bench.pool_scores
            self.bench.frame = self._fixed_frame(self.bench.measured_base())

    def _fixed_frame(self, base: Point) -> Frame:
        """The normalisation and the reference point: set once, before the first trial, and read ever after."""
        stored = self.store.attr("frame")
        if stored is None:
            self.store.set_attr("frame", self.bench.new_frame(base).to_json())
            stored = self.store.attr("frame")
        write_json(self.run.path / "frame.json", stored)
        return Frame.from_json(stored)

    # -- trials --------------------------------------------------------------------------------------------------

    def trials(self, worker: bool) -> None:
        """Ask, train, measure, tell, until the driver has no more to propose."""
        driver = self.driver
        with self.clock.phase("train and measure weight settings", self.recipe.driver.trials) as advance:
            for finished in self.complete():
                self._adapter(finished)
                self._told(self._point(finished))
            advance(self._trained())
            while True:
                with self.store.lock():
                    orphans = self.store.orphans()
                    trial: Trial | FrozenTrial | None = self.store.study.trials[orphans[0]] if orphans else driver.ask()
                    if trial is not None:
                        self.store.claim(trial.number)
                if trial is not None:
                    self._carry(trial)
                    advance(self._trained())
                # In this order: a trial that fails between the two looks is to be asked again.
                elif (worker or not self._running()) and driver.finished():
                    return
                else:
                    time.sleep(0.5)

    def complete(self) -> list[FrozenTrial]:
        """Trials that are finished, in the order of their numbers."""
        from optuna.trial import TrialState

        return self.store.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def _trained(self) -> int:
        return sum(t.user_attrs["kind"] != "soup" for t in self.complete())

    def _running(self) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        return self.store.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _carry(self, trial: Trial | FrozenTrial) -> None:
        try:
            self._adapter(trial)
            point = self._point(trial)
        except ParetoError as e:
            if _disk_is_full(e):  # not the trial's fault: it is carried on when there is room
                raise
            self.watch.note(f"trial {trial.number} failed: {e}")
            self.run.log("trial failed", trial=trial.number, reason=str(e))
            drivers.tell(self.store.study, trial, None)
            if self._all_failed():
                raise
        else:
            values, se = self.bench.normalised(point), self.bench.normalised_se(point)
            broken = violations(self.run, point.id, self.recipe.priorities, self.recipe.driver.trials)
            drivers.tell(self.store.study, trial, values, broken, se)
            self.run.log("trial", trial=trial.number, point=point.id, mean=point.mean, kl=point.kl)
            self._told(point)
        finally:
            self.store.release(trial.number)

    def _all_failed(self) -> bool:
        """Whether nothing but failures came so far: then the recipe is at fault, not the trial."""
        from optuna.trial import TrialState

        states = [t.state for t in self.store.study.get_trials(deepcopy=False)]
        return len(states) > 1 and all(s == TrialState.FAIL for s in states)

    def _adapter(self, trial: Trial | FrozenTrial) -> None:
        """Make sure that the trial's adapter, or those of the soup that it looks at, are whole and in the bank."""
        if trial.user_attrs["kind"] == "soup":
            self._gather(trial.user_attrs["coefficients"])
            return
        name = point_id(trial)
        proposal = drivers.proposal(trial)
        start = self._start(trial)
        self._gather(start)
        bank, keys = self.bench.bank, self.bench.meter.keys
        job = Job(proposal.weights, proposal.settings, {keys[k]: v for k, v in start.items()})
        with self.clock.inner("train", name) as advance:
            b = bank.mixture(start) if start else None
            bank.merge({})
            folder = train(self.bench.ground, job, b, self.run.adapters, advance)
        self.bench.join(name, folder.name)

    def _start(self, trial: Trial | FrozenTrial) -> dict[str, float]:
        """The soup that a trial's training starts from; empty: the base."""
        if trial.user_attrs["kind"] == "expert":
            return self._inherited_start(point_id(trial).removeprefix("expert-"))
        if self.recipe.training.start == "base":
            return {}
        start: dict[str, float] | None = trial.user_attrs.get("start")
        if start is not None:
            return start
        self._wait_for_experts()
        return soup_of(trial.user_attrs["weights"], self._experts(), self.recipe.soups.scale)

    def _inherited_start(self, objective: str) -> dict[str, float]:
        """An expert's: the adapter that was handed down to it, where one was."""
        if objective not in self.inherited:
            return {}
        name = f"inherited-{objective}"
        self.bench.join(name, self.inherited[objective])
        return {name: 1.0}

    def _wait_for_experts(self) -> None:
        """Until no other process trains an expert; one whose process was killed is carried on here."""
        while any(t.user_attrs["kind"] == "expert" and not self.store.holds(t.number) for t in self._running()):
            with self.store.lock():
                trials, orphans = self.store.study.trials, self.store.orphans()
                orphan = next((trials[n] for n in orphans if trials[n].user_attrs["kind"] == "expert"), None)
                if orphan is not None:
                    self.store.claim(orphan.number)
            if orphan is not None:
                self._carry(orphan)
            else:
                time.sleep(0.5)

    def _gather(self, names: Collection[str]) -> None:
        """Put the adapters of finished trials into the bank, by their points' ids; any process may have made them."""
        for trial in self.complete():
            if point_id(trial) in names and point_id(trial) not in self.bench.meter.keys:
                self._adapter(trial)

    def _experts(self) -> dict[str, str]:
        """Objective → its expert's name in the bank."""
        named = (point_id(t) for t in self.complete() if t.user_attrs["kind"] == "expert")
        experts = {name.removeprefix("expert-"): name for name in named}
        self._gather(experts.values())
        return experts

    def _point(self, trial: Trial | FrozenTrial) -> Point:
        name, kind = point_id(trial), trial.user_attrs["kind"]
        with self.clock.inner("measure", name) as advance:
            return self.bench.meter.measure(
                name,
                kind,
                trial.user_attrs["weights"],
                trial.user_attrs["coefficients"] if kind == "soup" else {name: 1.0},
                "validation",
                trial.number,
                adder(lambda done: advance(done, self.bench.rows("validation"))),
            )

    # -- after the trials ----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Soups on validation, then the selected points on test, then the front."""
        self._gather({point_id(t) for t in self.complete()})
        self._soups()
        self.watch.hypervolume(self.bench.report().statistics.hypervolume.value)

    def _soups(self) -> None:
        experts = self._experts()
        if not experts or not self.recipe.soups.count:
            return
        backbones = self.recipe.driver.method == "backbone"
        trained = {n: t.user_attrs["weights"] for t in self.complete() for n in experts if experts[n] == point_id(t)}
        tried = [tuple(t.user_attrs["weights"].values()) for t in self.complete()]
        asked = unexplored(len(self.recipe.names), tried, self.recipe.soups.count)
        rows = self.bench.rows("validation")
        with self.clock.phase("measure soups", rows * len(asked)) as advance:
            for i, weights in enumerate(asked):
                named = dict(zip(self.recipe.names, weights, strict=True))
                coefficients = soup_of(named, experts, self.recipe.soups.scale, trained if backbones else None)
                progress = adder(advance, rows * i)
                point = self.bench.meter.measure(
                    f"soup-{i}", "soup", named, coefficients, "validation", progress=progress
                )
                advance(rows * (i + 1))
                self._told(point)

    # -- telling -------------------------------------------------------------------------------------------------

    def _told(self, point: Point) -> None:
        self.watch.trial(point)
        points = [p for p in load_points(self.run) if p.split == "validation" and p.kind != "base"]
        values = np.array([self.bench.normalised(p) for p in points])
        self.watch.hypervolume(hypervolume(values, np.array(self.bench.frame.reference)))


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """Turn a full disk that the store, the log or a trainer's scratch folder met into one clear line."""
    try:
        yield
    except Exception as e:
        if not isinstance(e, ParetoError) and _disk_is_full(e):
            raise ParetoError(f"disk is full: {path}; make room and give the same command again") from e
        raise


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error; SQLite, Rust writers and the store tell it in their message."""
    while error is not None:
        if "disk is full" in str(error) or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _peak_memory_gb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 30 if sys.platform == "darwin" else 1 << 20)
