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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pareto import drivers
from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.front.indicators import hypervolume
from pareto.frontier import frontier, per_prompt, select
from pareto.measure import Meter, score_rollouts
from pareto.objectives.load import load_reward
from pareto.objectives.score import Failure
from pareto.prompts import load_prompts
from pareto.records import Point, Prompt, Rollout, Split
from pareto.rollouts.pool import make_pool, pool_key
from pareto.soups.weights import soup_of, unexplored
from pareto.store.files import discard, fingerprint, sweep_leftovers, write_json
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.study import StudyStore
from pareto.store.tables import read_scores, table_ok, write_prompts, write_scores
from pareto.training.train import Ground, Job, train
from pareto.watch import Clock, Watcher

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

    from pareto.models import Base


def sweep(
    recipe: Recipe, root: str | Path, storage: str | None, watch: Watcher, *, worker: bool = False
) -> dict[str, Any]:
    """Run a sweep to its end, or go on with one.

    Args:
        recipe: what to do.
        root: folder of runs.
        storage: address of a PostgreSQL database for the study; ``None``: SQLite in the run's folder.
        watch: told of phases, progress, trials.
        worker: only carry trials; leave soups and the test split to the main process.

    Returns:
        ``run``, ``trials``, ``seconds`` by phase in this process, ``peak_memory_gb`` of this process.

    Raises:
        ParetoError: anything that the user can put right.
    """
    with _full_disk_told(Path(root) / recipe.name):
        new = not (Path(root) / recipe.name / "run.json").exists()
        run = Run.create(root, recipe, storage)
        sweep_leftovers(run.path)
        try:
            with StudyStore(run, storage, recipe.names) as store:
                work = _Sweep(run, recipe, store, watch)
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

    def __post_init__(self) -> None:
        self.clock = Clock(self.watch, self.run.log)

    # -- what every trial stands on ------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Load the model, make the pool and its scores, measure the base, fix the normalisation."""
        from pareto.models import context_check, load
        from pareto.soups.bank import Bank
        from pareto.training.adapters import shared_a

        recipe = self.recipe
        with self.clock.phase("load model and prompts"):
            self.rewards = [load_reward(o) for o in recipe.objectives]
            self.base: Base = load(recipe.model)
            prompts = load_prompts(recipe.prompts, recipe.seed)
            for p in prompts:
                context_check(
                    self.base,
                    self.base.prompt_ids(p.text),
                    recipe.sampling.max_new_tokens,
                    recipe.prompts.max_tokens,
                    f"prompt {p.id} of {p.source}",
                )
        splits: tuple[Split, ...] = ("train", "validation", "test")
        self.prompts: dict[Split, list[Prompt]] = {s: [p for p in prompts if p.split == s] for s in splits}
        # Before anything takes long: these tell the recipe's mistakes that only the libraries and the model know.
        self.driver = drivers.make(recipe, self.store.study)
        lora = recipe.training.lora
        self.bank = Bank(self.base, lora, shared_a(self.base, lora, recipe.seed))
        self.meter = Meter(self.run, recipe, self.base, self.bank, self.rewards, self.prompts, self._failure)
        # One process makes what is shared; the others wait here and find it made.
        with self.store.lock():
            write_prompts(self.run.path / "prompts.parquet", prompts)
            with self.clock.phase("roll out", len(self.prompts["train"])) as advance:
                pool = make_pool(
                    self.base, recipe, self.prompts["train"], self.run.rollouts, lambda done, _: advance(done)
                )
            with self.clock.phase("score the pool"):
                key, raw = self._pool_scores(pool)
            self.ground = Ground(self.base, recipe, self.rewards, self.prompts["train"], pool, raw, key)
            with self.clock.phase("measure the base", self._rows("validation")) as advance:
                base = self.meter.measure("base", "base", None, {}, "validation", progress=_adder(advance))
            self.frame = self._fixed_frame(base)
        self.ground.scores = self.frame.normalise(raw)

    def _pool_scores(self, pool: list[Rollout]) -> tuple[str, np.ndarray]:
        recipe = self.recipe
        objectives = [o.model_dump(mode="json") for o in recipe.objectives]
        key = fingerprint({"pool": pool_key(self.base, recipe, self.prompts["train"]), "objectives": objectives})
        path = self.run.scores / f"{key}.parquet"
        if not table_ok(path):
            scores = score_rollouts(recipe, self.rewards, self.prompts["train"], pool)
            for failure in scores.failures:
                self._failure(failure)
            columns = dict(zip(recipe.names, scores.values.T, strict=True))
            write_scores(path, [r.prompt_id for r in pool], [r.sample for r in pool], columns)
        columns = read_scores(path).columns
        return key, np.stack([columns[n] for n in recipe.names], axis=1)

    def _fixed_frame(self, base: Point) -> Frame:
        """The normalisation and the reference point: set once, before the first trial, and read ever after."""
        stored = self.store.attr("frame")
        if stored is None:
            signs = tuple(float(r.sign) for r in self.rewards)
            frame = Frame.from_base(self.recipe.names, signs, per_prompt(self.run, base), self.recipe.evaluation.margin)
            self.store.set_attr("frame", frame.to_json())
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
            advance(len(self.complete()))
            while True:
                with self.store.lock():
                    orphans = self.store.orphans()
                    trial: Trial | FrozenTrial | None = self.store.study.trials[orphans[0]] if orphans else driver.ask()
                    if trial is not None:
                        self.store.claim(trial.number)
                if trial is not None:
                    self._carry(trial)
                    advance(len(self.complete()))
                # In this order: a trial that fails between the two looks is to be asked again.
                elif (worker or not self._running()) and driver.finished():
                    return
                else:
                    time.sleep(0.5)

    def complete(self) -> list[FrozenTrial]:
        """Trials that are finished, in the order of their numbers."""
        from optuna.trial import TrialState

        return self.store.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

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
            drivers.tell(self.store.study, trial, self._values(point), self._violations(point))
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
        """Make sure that the trial's adapter is there, whole, and in the bank."""
        name = point_id(trial)
        proposal = drivers.proposal(trial)
        start = {} if trial.user_attrs["kind"] == "expert" else self._start(proposal.weights)
        job = Job(proposal.weights, proposal.settings, {self.meter.keys[k]: v for k, v in start.items()})
        with self.clock.inner("train", name) as advance:
            b = self.bank.mixture(start) if start else None
            self.bank.merge({})
            folder = train(self.ground, job, b, self.run.adapters, advance)
        self.bank.add(name, folder)
        self.meter.keys[name] = folder.name

    def _start(self, weights: tuple[float, ...]) -> dict[str, float]:
        """The soup of experts that training at these weights starts from; empty: the base."""
        if self.recipe.training.start == "base":
            return {}
        self._wait_for_experts()
        experts = self._experts()
        return soup_of(dict(zip(self.recipe.names, weights, strict=True)), experts, self.recipe.soups.scale)

    def _wait_for_experts(self) -> None:
        """Until no other process trains an expert; one whose process was killed is carried on here."""
        while any(t.user_attrs["kind"] == "expert" and not self._mine(t) for t in self._running()):
            with self.store.lock():
                trials, orphans = self.store.study.trials, self.store.orphans()
                orphan = next((trials[n] for n in orphans if trials[n].user_attrs["kind"] == "expert"), None)
                if orphan is not None:
                    self.store.claim(orphan.number)
            if orphan is not None:
                self._carry(orphan)
            else:
                time.sleep(0.5)

    def _experts(self) -> dict[str, str]:
        """Objective → its expert's name in the bank."""
        experts: dict[str, str] = {}
        for trial in self.complete():
            if trial.user_attrs["kind"] == "expert":
                if point_id(trial) not in self.bank.adapters:
                    self._adapter(trial)
                experts[_strongest(trial)] = point_id(trial)
        return experts

    def _mine(self, trial: FrozenTrial) -> bool:
        return self.store.holds(trial.number)

    def _point(self, trial: Trial | FrozenTrial) -> Point:
        name = point_id(trial)
        with self.clock.inner("measure", name) as advance:
            return self.meter.measure(
                name,
                trial.user_attrs["kind"],
                trial.user_attrs["weights"],
                {name: 1.0},
                "validation",
                trial.number,
                _adder(lambda done: advance(done, self._rows("validation"))),
            )

    def _values(self, point: Point) -> list[float]:
        mean = np.array([point.mean[n] for n in self.recipe.names])
        return self.frame.normalise(mean).tolist()  # type: ignore[no-any-return]

    def _violations(self, point: Point) -> list[float]:
        """One number per priority, at most 0 where it is kept, in the objective's own units."""
        signs = dict(zip(self.recipe.names, self.frame.signs, strict=True))
        return [signs[p.objective] * (p.at_least - point.mean[p.objective]) for p in self.recipe.priorities]

    # -- after the trials ----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Soups on validation, then the selected points on test, then the front."""
        for trial in self.complete():
            if point_id(trial) not in self.bank.adapters:
                self._adapter(trial)
        self._soups()
        chosen = set(select(self.run, load_points(self.run), self.frame))
        validation = [p for p in load_points(self.run) if p.split == "validation"]
        wanted = [p for p in validation if p.kind in ("base", "expert") or p.id in chosen]
        rows = self._rows("test")
        with self.clock.phase("measure on test", rows * len(wanted)) as advance:
            for i, p in enumerate(wanted):
                self.meter.measure(p.id, p.kind, p.weights, p.coefficients, "test", p.trial, _adder(advance, rows * i))
                advance(rows * (i + 1))
        with self.clock.phase("analyse the front"):
            found = frontier(self.run)
            write_json(self.run.path / "front.json", found.document())
            self.watch.hypervolume(found.statistics.hypervolume.value)

    def _soups(self) -> None:
        experts = self._experts()
        if not experts or not self.recipe.soups.count:
            return
        tried = [tuple(t.user_attrs["weights"].values()) for t in self.complete()]
        asked = unexplored(len(self.recipe.names), tried, self.recipe.soups.count)
        rows = self._rows("validation")
        with self.clock.phase("measure soups", rows * len(asked)) as advance:
            for i, weights in enumerate(asked):
                named = dict(zip(self.recipe.names, weights, strict=True))
                coefficients = soup_of(named, experts, self.recipe.soups.scale)
                name = f"soup-{i}"
                point = self.meter.measure(
                    name, "soup", named, coefficients, "validation", progress=_adder(advance, rows * i)
                )
                advance(rows * (i + 1))
                self._told(point)

    # -- telling -------------------------------------------------------------------------------------------------

    def _told(self, point: Point) -> None:
        self.watch.trial(point)
        points = [p for p in load_points(self.run) if p.split == "validation" and p.kind != "base"]
        means = np.array([[p.mean[n] for n in self.recipe.names] for p in points])
        self.watch.hypervolume(hypervolume(self.frame.normalise(means), np.array(self.frame.reference)))

    def _failure(self, failure: Failure) -> None:
        self.watch.note(f"reward {failure.objective} {failure.reason} (row {failure.row}); the row is masked")
        self.run.log("reward failed", objective=failure.objective, row=failure.row, reason=failure.reason)

    def _rows(self, split: Split) -> int:
        return len(self.prompts[split]) * self.recipe.evaluation.samples_per_prompt


def point_id(trial: Trial | FrozenTrial) -> str:
    """A trial's name among the points: ``expert-<objective>`` or ``trial-<number>``."""
    if trial.user_attrs["kind"] == "expert":
        return f"expert-{_strongest(trial)}"
    return f"trial-{trial.number}"


def _strongest(trial: Trial | FrozenTrial) -> str:
    weights: dict[str, float] = trial.user_attrs["weights"]
    return max(weights, key=lambda n: weights[n])


def _adder(advance: Callable[[int], None], start: int = 0) -> Callable[[int], None]:
    """Turn steps into a running total."""
    total = start

    def add(step: int) -> None:
        nonlocal total
        total += step
        advance(total)

    return add


@contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
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
