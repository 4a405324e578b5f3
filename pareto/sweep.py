"""A sweep: train and measure weight settings, then soups, then the test split.

Everything that is made is a file named by a hash of what made it, and everything that was decided is in the study. A
process that is killed and started again finds what is finished and goes on with the rest.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pareto import drivers
from pareto.campaign import Campaign, Policy, release
from pareto.choice.constraints import violations
from pareto.config import Recipe
from pareto.drivers.trials import point_id
from pareto.engines.engine import Engine
from pareto.engines.work import Ended, Work
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.front.indicators import hypervolume
from pareto.records import Point
from pareto.soups.weights import soup_of, unexplored
from pareto.steady import Steady, Verdict
from pareto.store.files import discard, sweep_leftovers, write_json
from pareto.store.full_disk import full_disk_told
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.study import StudyStore
from pareto.watch import Watcher


def sweep(
    recipe: Recipe,
    root: str | Path,
    storage: str | None,
    watch: Watcher,
    *,
    engine: Engine | None = None,
    share: str | None = None,
    inherited: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a sweep to its end, or go on with one.

    Args:
        recipe: what to do; of its section ``engine`` only how many processes share out one training.
        root: folder of runs.
        storage: address of a PostgreSQL database for the study; ``None``: SQLite in the run's folder.
        watch: told of phases, progress, trials.
        engine: carries the work; default: this process.
        share: where artefacts travel, see ``Exchange``; default: all workers see the run's folder.
        inherited: objective → adapter in the run's folder that its expert starts from; default: the base.

    Returns:
        ``run``, ``trials``, ``seconds`` by phase, ``peak_memory_gb`` of this process.

    Raises:
        ParetoError: anything that the user can put right.
    """
    with full_disk_told(Path(root) / recipe.name):
        new = not (Path(root) / recipe.name / "run.json").exists()
        run = Run.create(root, recipe, storage)
        sweep_leftovers(run.path)
        try:
            with StudyStore.waited_for(run, storage, watch.note, new=new) as store, store.leading():
                work = _Sweep(Campaign(run, watch, engine, share, recipe.engine.together), store, inherited or {})
                work.prepare()
                work.trials()
                work.finish_front()
        except ParetoError:
            # A recipe that fails before anything is made does not keep its name from the corrected one.
            if new and not any(run.rollouts.iterdir()):
                discard(run.path)
            raise
        finally:
            release(engine)
        return {
            "run": run.name,
            "trials": len(work.complete()),
            "seconds": {k: round(v, 1) for k, v in work.clock.seconds.items()},
            "peak_memory_gb": round(_peak_memory_gb(), 2),
        }


class _Sweep:
    """What the loop asks of a sweep, and what comes before and after it."""

    def __init__(self, campaign: Campaign, store: StudyStore, inherited: Mapping[str, str]) -> None:
        self.campaign, self.store = campaign, store
        self.run, self.recipe, self.watch = campaign.run, campaign.recipe, campaign.watch
        self.clock = campaign.clock
        self._kept: dict[int, Point] = {}
        """Trial's number → its point, until the study was told."""
        self._logged = {event.get("trial") for event in self.run.events() if event["event"] == "trial"}
        """Numbers of the trials that an earlier driver logged."""
        for objective, key in inherited.items():
            campaign.join(_inherited(objective), key)

    # -- what every trial stands on ------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Have the pool and its scores made and the base measured, and fix the normalisation."""
        # Before anything takes long: this tells the recipe's mistakes that only the libraries know.
        self.driver = self.store.read(lambda: drivers.make(self.recipe, self.store.study))
        signs = self.campaign.ground["signs"]
        minimised = [name for name, sign in zip(self.recipe.names, signs, strict=True) if sign < 0]
        for level in self.recipe.priorities:
            level.check_directions(minimised)
        self.campaign.pool()
        self.campaign.frame = self._fixed_frame(self.campaign.measured_base())

    def _fixed_frame(self, base: Point) -> Frame:
        """The normalisation and the reference point: set once, before the first trial, and read ever after."""
        stored = self.store.attr("frame")
        if stored is None:
            self.store.set_attr("frame", self.campaign.new_frame(base).to_json())
            stored = self.store.attr("frame")
        write_json(self.run.path / "frame.json", stored)
        return Frame.from_json(stored)

    # -- trials --------------------------------------------------------------------------------------------------

    def trials(self) -> None:
        """Ask, train, measure, tell, until the driver has no more to propose."""
        with self.clock.phase("train and measure weight settings", self.recipe.driver.trials) as advance:
            self._advance = advance
            Steady(self.store.study, self.driver, self, self.store).run()

    def work(self, trial: FrozenTrial) -> Work | None:
        """See ``Desk.work``."""
        name, attrs = point_id(trial), trial.user_attrs
        keys = self.campaign.keys
        if attrs["kind"] == "soup":
            coefficients = attrs["coefficients"]
            return (
                self.campaign.tables([coefficients], "validation", name) if coefficients.keys() <= keys.keys() else None
            )
        start = self._start(trial)
        if start is None or not start.keys() <= keys.keys():
            return None
        asked = drivers.proposal(trial)
        return self.campaign.trial(asked.weights, asked.settings, start, name)

    def _start(self, trial: FrozenTrial) -> Mapping[str, float] | None:
        """The soup that a trial's training starts from, empty: the base; ``None``: an expert of it is not there yet."""
        if trial.user_attrs["kind"] == "expert":
            inherited = _inherited(point_id(trial).removeprefix("expert-"))
            return {inherited: 1.0} if inherited in self.campaign.keys else {}
        if self.recipe.training.start == "base":
            return {}
        start: dict[str, float] | None = trial.user_attrs.get("start")
        if start is not None:
            return start
        live = (TrialState.RUNNING, TrialState.COMPLETE)
        experts = [point_id(t) for t in self._asked(*live) if t.user_attrs["kind"] == "expert"]
        if any(name not in self.campaign.keys for name in experts):
            return None
        named = {name.removeprefix("expert-"): name for name in experts}
        return soup_of(trial.user_attrs["weights"], named, self.recipe.soups.scale)

    def made(self, work: Work) -> Mapping[str, Any] | None:
        """See ``Desk.made``."""
        found = self.campaign.dispatch.made(work)
        return None if found is None else found.told

    def submit(self, work: Work) -> None:
        """See ``Desk.submit``."""
        self.campaign.dispatch.submit(work)

    def wait(self) -> Sequence[tuple[Ended, Mapping[str, Any] | None]]:
        """See ``Desk.wait``."""
        found = self.campaign.dispatch.wait()
        return [(ended, None if result is None else result.told) for ended, result in found]

    def capacity(self) -> int:
        """See ``Desk.capacity``."""
        return self.campaign.engine.capacity()

    def finish(self, trial: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        """See ``Desk.finish``."""
        name, attrs = point_id(trial), trial.user_attrs
        if attrs["kind"] == "soup":
            coefficients, scores = attrs["coefficients"], told["scores"][0]
        else:
            coefficients, scores = {name: 1.0}, told["scores"]
            self.campaign.join(name, told["adapter"])
        policy = Policy(name, attrs["kind"], attrs["weights"], coefficients, trial.number)
        point = self.campaign.keep(policy, "validation", scores)
        broken = violations(self.run, name, self.recipe.priorities, self.recipe.driver.trials)
        self._kept[trial.number] = point
        return Verdict(self.campaign.normalised(point), broken, self.campaign.normalised_se(point))

    def finished(self, trial: FrozenTrial) -> None:
        """See ``Desk.finished``.

        Logged is what the study knows, once: also a trial whose driver died before it wrote the line, and by the driver
        that leads only.
        """
        point = self._kept.pop(trial.number)
        if trial.number not in self._logged:
            self.run.log("trial", trial=trial.number, point=point.id, mean=point.mean, kl=point.kl)
        self._told(point)
        self._advance(sum(t.user_attrs["kind"] != "soup" for t in self.complete()))

    def failed(self, trial: FrozenTrial, reason: str) -> None:
        """See ``Desk.failed``."""
        if "disk is full" in reason:  # not the trial's fault: it is carried on when there is room
            raise ParetoError(reason)
        self.watch.note(f"trial {trial.number} failed: {reason}")
        self.run.log("trial failed", trial=trial.number, reason=reason)

    def more(self) -> Sequence[Work]:
        """See ``Desk.more``: the experts and the base on test, and the soups once all weights are asked for."""
        wanted = [*self._experts().values()]
        works = [self.campaign.tables([{}], "test", "base")]
        works += [self.campaign.tables([{name: 1.0}], "test", name) for name in wanted]
        if self.store.read(self.driver.finished):
            works += [self.campaign.tables([p.coefficients], "validation", p.name) for p in self._soups()]
        return works

    def complete(self) -> list[FrozenTrial]:
        """Trials that are finished, in the order of their numbers."""
        return self._asked(TrialState.COMPLETE)

    def _asked(self, *states: TrialState) -> list[FrozenTrial]:
        return self.store.read(lambda: self.store.study.get_trials(deepcopy=False, states=states))

    def _experts(self) -> dict[str, str]:
        """Objective → its expert's name."""
        named = (point_id(t) for t in self.complete() if t.user_attrs["kind"] == "expert")
        return {name.removeprefix("expert-"): name for name in named if name in self.campaign.keys}

    # -- after the trials ----------------------------------------------------------------------------------------

    def finish_front(self) -> None:
        """Soups on validation, then the selected points on test, then the front."""
        soups = self._soups()
        if soups:
            with self.clock.phase("measure soups", len(soups)) as advance:
                for point in self.campaign.measure(soups, "validation", advance):
                    self._told(point)
        self.watch.hypervolume(self.campaign.report().statistics.hypervolume.value)

    def _soups(self) -> list[Policy]:
        """The soups of the experts that are measured beside the trained adapters."""
        experts = self._experts()
        if not experts or not self.recipe.soups.count:
            return []
        complete = self.complete()
        backbones = self.recipe.driver.method == "backbone"
        trained = {n: t.user_attrs["weights"] for t in complete for n in experts if experts[n] == point_id(t)}
        asked = self._asked(TrialState.COMPLETE, TrialState.RUNNING)
        tried = [tuple(t.user_attrs["weights"].values()) for t in asked]
        policies = []
        for i, weights in enumerate(unexplored(len(self.recipe.names), tried, self.recipe.soups.count)):
            named = dict(zip(self.recipe.names, weights, strict=True))
            coefficients = soup_of(named, experts, self.recipe.soups.scale, trained if backbones else None)
            policies.append(Policy(f"soup-{i}", "soup", named, coefficients))
        return policies

    # -- telling -------------------------------------------------------------------------------------------------

    def _told(self, point: Point) -> None:
        self.watch.trial(point)
        points = [p for p in load_points(self.run) if p.split == "validation" and p.kind != "base"]
        values = np.array([self.campaign.normalised(p) for p in points])
        self.watch.hypervolume(hypervolume(values, np.array(self.campaign.frame.reference)))


def _inherited(objective: str) -> str:
    """Name of the adapter that was handed down to an expert."""
    return f"inherited-{objective}"


def _peak_memory_gb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 30 if sys.platform == "darwin" else 1 << 20)
