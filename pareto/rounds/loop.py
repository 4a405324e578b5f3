"""The rounds, one after the other. Whatever a round made is kept under its number, so the same command goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.campaign import Campaign, release
from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.preferences.annotation.annotator import annotate
from pareto.preferences.annotation.files import import_labels
from pareto.preferences.annotation.position_bias import position_bias
from pareto.records import SCHEMA, Prompt, Rollout
from pareto.rounds.doubts import doubts
from pareto.rounds.gold import Gold, gold_rewards
from pareto.rounds.labelling import annotator, check_labels, questions, refit
from pareto.rounds.record import make_record
from pareto.rounds.report import write_report
from pareto.rounds.rollouts import POLICY, keep, of_base, of_policies
from pareto.rounds.store import SUFFIX, Rounds
from pareto.rounds.sweeping import sweep_round
from pareto.store.files import discard, sweep_leftovers, write_json
from pareto.store.full_disk import full_disk_told
from pareto.store.leases import FileLeases
from pareto.store.tables import read_rollouts, table_ok
from pareto.watch import Clock, Watcher
from pareto.workbench import load_base, teach

if TYPE_CHECKING:
    from pareto.engines.engine import Engine
    from pareto.models import Base

UNANSWERED = 0.1
"""Of a round's questions: where an annotator fails on more, the round does not go on without them."""


def run_rounds(
    recipe: Recipe,
    root: str | Path,
    storage: str | None,
    watch: Watcher,
    feedback: Sequence[tuple[str, Path]] = (),
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Carry a series of rounds to its end, or go on with one.

    Args:
        recipe: what to do; its section ``rounds`` says how.
        root: folder of runs.
        storage: address of a PostgreSQL database for the sweeps' studies; ``None``: SQLite.
        watch: told of phases and progress.
        feedback: (objective, labelled file) that join the labels of the round under way; each comparison counts once.
        engine: carries the sweeps' work and the new policies' answers; default: this process.

    Returns:
        ``name``, ``rounds`` (the records), and ``waiting``: how many questions people are to answer before it goes on.

    Raises:
        ParetoError: anything that the user can put right.
    """
    with full_disk_told(Path(root)):
        # Before the folder is there: a mistake in the rewards does not keep the name from the corrected recipe.
        rewards = gold_rewards(recipe)
        check_labels(recipe, feedback)
        new = not (Path(root) / f"{recipe.name}{SUFFIX}").exists()
        rounds = Rounds.create(root, recipe)
        gold = Gold(rounds, rewards)
        waiting = 0
        leases = FileLeases(rounds.path)
        if not leases.claim(0):
            raise ParetoError(f"{rounds.path}: another process carries these rounds; wait for it, or stop it")
        try:
            sweep_leftovers(rounds.path)
            while not waiting and (number := next_round(rounds)) is not None:
                waiting = _Round(gold, number, storage, watch, feedback, engine).carry()
        except ParetoError:
            if new and not any((rounds.path / kept).exists() for kept in ("rollouts", "labels")):
                discard(rounds.path)
            raise
        finally:
            leases.close()
        if rounds.records:
            write_report(rounds)
        return {"name": rounds.name, "rounds": rounds.records, "waiting": waiting}


def next_round(rounds: Rounds) -> int | None:
    """The number of the round to carry; ``None``: all that were asked for are finished, or the last one said stop."""
    records = rounds.records
    wanted = rounds.recipe.rounds
    stopped = bool(records) and records[-1]["stop"] is not None and wanted.stop_early
    return None if stopped or len(records) >= wanted.count else len(records) + 1


class _Round:
    """One round under way."""

    def __init__(
        self,
        gold: Gold,
        number: int,
        storage: str | None,
        watch: Watcher,
        feedback: Sequence[tuple[str, Path]],
        engine: Engine | None,
    ) -> None:
        self.gold, self.rounds, self.number = gold, gold.rounds, number
        self.storage, self.watch, self.feedback, self.engine = storage, watch, feedback, engine
        self.recipe = self.rounds.recipe
        self.clock = Clock(watch, self.rounds.log)
        self.started = _now()

    def carry(self) -> int:
        """Carry it to its record; or how many questions wait for people."""
        found = self.roll_out()
        waiting = self.label(found)
        if waiting:
            return waiting
        ensembles = self.refit()
        with self._phase("sweep"):
            sweep_round(self.rounds, self.number, self.storage, self.watch, self.engine)
        fresh = self.try_out()
        with self._phase("look for disagreement", len(ensembles)) as advance:
            doubtful = doubts(self.gold, self.number, self.train, fresh, ensembles, advance)
        with self._phase("measure"):
            record = make_record(self.gold, self.number, found, ensembles, doubtful)
        times = {"started": self.started, "finished": _now(), "seconds": self._seconds()}
        write_json(self.rounds.record_path(self.number), {"schema": SCHEMA, **record, **times})
        if next_round(self.rounds) is not None:  # else the table says them in a moment
            for flag in record["flags"]:
                self.watch.note(f"round {self.number}: {flag}")
        return 0

    def roll_out(self) -> list[Rollout]:
        """The completions to choose from; the round before has made them, but in the first."""
        path = self.rounds.rollouts(self.number)
        if not table_ok(path):
            if self.number == 1:
                base = self.base
                with self._phase("roll out", len(self.train)) as advance:
                    keep(self.rounds, 1, of_base(self.rounds, base, self.train, 1, lambda done, _: advance(done)))
            else:
                _Round(self.gold, self.number - 1, self.storage, self.watch, (), self.engine).try_out()
        return read_rollouts(path)

    def label(self, found: Sequence[Rollout]) -> int:
        """Ask, and have answered what does not need people; how many questions wait for them."""
        queue = self.rounds.queue
        if queue.torn:
            self.watch.note(f"{self.rounds.path}: {queue.torn} damaged lines of its labels are left out")
        for objective, file in self.feedback:
            came = import_labels(queue, file, objective, self.number)
            for line in (*came.problems, f"{file}: {came.new} of {came.found} comparisons are new"):
                self.watch.note(line)
        queue.ask(questions(self.gold, self.number, self.train, found, self._last_ensembles))
        waiting = queue.waiting(round=self.number)
        if not waiting:
            return 0
        answering = annotator(self.recipe, lambda: self.base)
        if answering is None:
            return len(waiting)
        with self._phase("label", len(waiting)) as advance:
            answered = annotate(queue, answering, waiting, lambda done, _: advance(done))
        bias = position_bias(queue.labels)
        if bias.flagged:
            self.watch.note(
                f"round {self.number}: the judge has a {bias.text}; what turned is a tie and teaches nothing"
            )
        if len(answered.failed) > UNANSWERED * len(waiting):
            raise ParetoError(
                f"round {self.number}: {answered.text}; what was labelled is kept: mend the annotator and give the "
                "same command again"
            )
        if answered.failed:
            self.watch.note(f"round {self.number}: {answered.text}")
        return 0

    def refit(self) -> dict[str, Ensemble]:
        """Every objective's reward models, from all labels so far."""
        names = self.recipe.names
        made: dict[str, Ensemble] = {}
        with self._phase("refit the reward models", len(names)) as advance:
            for k, name in enumerate(names):
                made[name] = refit(self.rounds, self.number, name, self.watch.inner, self.watch.note)
                advance(k + 1)
        return made

    def try_out(self) -> list[Rollout]:
        """What the new policies say to training prompts: looked at for disagreement now, labelled in the next round."""
        path = self.rounds.rollouts(self.number + 1)
        if not table_ok(path):
            campaign = Campaign.open(self.rounds.run(self.number), self.watch, self.engine)
            with self._phase("roll out the new front", campaign.engine.capacity()) as advance:
                found = of_policies(campaign, self.rounds, self.number + 1, self.train, advance)
            release(self.engine)
            base = of_base(self.rounds, self.base, self.train, self.number + 1)
            keep(self.rounds, self.number + 1, [*base, *found])
        return [r for r in read_rollouts(path) if r.origin.startswith(POLICY)]

    @property
    def base(self) -> Base:
        """The base model."""
        return self._loaded[0]

    @cached_property
    def train(self) -> list[Prompt]:
        """The training prompts."""
        return [p for p in self._loaded[1] if p.split == "train"]

    @cached_property
    def _loaded(self) -> tuple[Base, list[Prompt]]:
        teach(self.recipe, self.clock)
        with self._phase("load model and prompts"):
            return load_base(self.recipe)

    @property
    def _last_ensembles(self) -> dict[str, Ensemble]:
        """The reward models of the round before."""
        if self.number == 1:
            return {}
        last = {name: self.rounds.rewards(name, self.number - 1) for name in self.recipe.names}
        return {name: Ensemble.open(folder, self.rounds.path) for name, folder in last.items()}

    def _phase(self, name: str, total: int = 1) -> AbstractContextManager[Callable[[int], None]]:
        return self.clock.phase(f"round {self.number}: {name}", total)

    def _seconds(self) -> dict[str, float]:
        return {name.partition(": ")[2]: round(spent, 1) for name, spent in self.clock.seconds.items()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
