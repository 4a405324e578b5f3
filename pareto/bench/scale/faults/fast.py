"""A sweep of seconds that can be told to die at a step.

Loop, driver, study, lease, engine, dispatch and artefacts are a sweep's; only what a trial trains is made up, a chain
of hashes with checkpoints.

Run as ``python -m pareto.bench.scale.faults.fast FOLDER ORDER``, see ``Order``.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from optuna.trial import FrozenTrial, Trial

from pareto import config, drivers
from pareto.bench.scale.faults.history import note
from pareto.bench.scale.surface import recipe, truth
from pareto.dispatch import Dispatch
from pareto.engines.choose import opened
from pareto.engines.engine import Engine
from pareto.engines.work import Ended, Progress, Work
from pareto.errors import ParetoError
from pareto.steady import Answer, Steady, Verdict
from pareto.store.exchange import Exchange
from pareto.store.files import discard, folder, folder_ok, read_json, sweep_leftovers, write_bytes, write_json
from pareto.store.full_disk import full_disk_told
from pareto.store.results import save_result
from pareto.store.run import Run
from pareto.store.study import StudyStore

NAME = "fast"
"""Of the run."""
TASK = "pareto.bench.scale.faults.fast:train"
EVERY = 5
"""Steps from one checkpoint to the next."""
SIZE = 1 << 16
"""Bytes of an adapter."""
Step = Literal["ask", "submit", "artefact", "tell", "told"]
"""A driver has asked; has given a work away; has heard that its artefact is there; is about to tell; has told."""


@dataclass(frozen=True)
class Order:
    """What to do."""

    history: str
    """Folder of histories, on a disk that has room."""
    storage: str | None = None
    """Of the study; ``None``: SQLite."""
    kind: Literal["local", "ray"] = "local"
    address: str = "auto"
    """Ray's."""
    workers: int = 2
    patience: float = 4.0
    """Seconds without progress after which a work is begun anew."""
    ttl: float = 30.0
    """Seconds of the driver's lease."""
    trials: int = 6
    steps: int = 20
    seconds: float = 0.02
    """Of a step."""
    die_at: Step | None = None
    die_after: int = 1
    """Times that the step was reached before."""


def train(body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Do a trial's work: a ``Task``.

    Raises:
        ParetoError: the disk is full.
    """
    exchange = Exchange.on_node(place)
    run, key = exchange.run, Work(TASK, body).key
    made = run / "adapters" / key
    told = {"values": truth(body["weights"]).tolist(), "adapter": key}
    if not folder_ok(made):
        discard(made)
        checkpoint = run / "checkpoints" / f"{key}.json"
        step, state = _gone_on_from(checkpoint) or (0, hashlib.sha256(str(body["weights"]).encode()).hexdigest())
        note(place["history"], "begun", key=key, step=step)
        state = _trained(body, step, state, checkpoint, progress)
        with folder(made) as inside:
            write_bytes(inside / "adapter", bytes.fromhex(state) * (SIZE // 32))
        note(place["history"], "ended", key=key, state=state)
        checkpoint.unlink(missing_ok=True)
    exchange.push([f"adapters/{key}", save_result(run, key, told, [f"adapters/{key}"])])
    return told


def _gone_on_from(checkpoint: Path) -> tuple[int, str] | None:
    """Step and state of a checkpoint; nothing where none is whole."""
    try:
        kept = read_json(checkpoint)
        return kept["step"], kept["state"]
    except (ParetoError, KeyError, TypeError):
        return None


def _trained(body: Mapping[str, Any], step: int, state: str, checkpoint: Path, progress: Progress) -> str:
    checkpoint.parent.mkdir(exist_ok=True)
    while step < body["steps"]:
        time.sleep(body["seconds"])
        state = hashlib.sha256(state.encode()).hexdigest()
        step += 1
        progress(step, body["steps"])
        if step % EVERY == 0:
            write_json(checkpoint, {"step": step, "state": state})
    return state


def sweep(root: Path, order: Order, say: Callable[[str], None]) -> None:
    """Run the sweep to its end, or go on with it.

    Raises:
        ParetoError: as ``pareto sweep`` does.
    """
    new = not (root / NAME / "run.json").exists()
    asked = recipe({"trials": order.trials}, 0, NAME)
    carried = config.Engine(
        kind=order.kind, workers=order.workers, address=order.address, patience=order.patience, retries=99
    )
    with full_disk_told(root / NAME), opened(carried, say) as engine:
        run = Run.create(root, asked, order.storage)
        sweep_leftovers(run.path)
        with StudyStore.waited_for(run, order.storage, say, new=new) as study, study.leading(order.ttl):
            death = _Death(order)
            desk = _Desk(run, engine, order, death)
            driver = study.read(lambda: drivers.make(asked, study.study))
            Steady(study.study, driver, desk, _Ledger(study, death)).run()
        note(order.history, "over", capacity=engine.capacity())


@final
class _Death:
    """Ends this process at a step, as the kernel would."""

    def __init__(self, order: Order) -> None:
        self._step, self._left = order.die_at, order.die_after

    def reach(self, step: Step) -> None:
        if step == self._step:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


@final
class _Ledger:
    """The study, and the steps at which a driver may die."""

    def __init__(self, study: StudyStore, death: _Death) -> None:
        self._study, self._death = study, death

    def ask(self, propose: Callable[[], Trial | None], mine: Collection[int]) -> Trial | FrozenTrial | None:
        found = self._study.ask(propose, mine)
        if found is not None:
            self._death.reach("ask")
        return found

    def tell(self, number: int, write: Callable[[], None]) -> None:
        self._death.reach("tell")
        self._study.tell(number, write)
        self._death.reach("told")

    def read(self, look: Callable[[], Answer]) -> Answer:
        return self._study.read(look)


@final
class _Desk:
    """What the loop asks of this sweep."""

    def __init__(self, run: Run, engine: Engine, order: Order, death: _Death) -> None:
        self._engine, self._order, self._death = engine, order, death
        self._dispatch = Dispatch(
            engine, Exchange(run.path), lambda *progress: None, lambda crew: None, lambda told, fresh: None
        )
        self._values: dict[int, list[float]] = {}

    def work(self, trial: FrozenTrial) -> Work:
        weights = list(trial.user_attrs["weights"].values())
        body = {"weights": weights, "steps": self._order.steps, "seconds": self._order.seconds}
        return Work(TASK, body, {"history": self._order.history}, f"train trial {trial.number}")

    def made(self, work: Work) -> Mapping[str, Any] | None:
        found = self._dispatch.made(work)
        return None if found is None else found.told

    def submit(self, work: Work) -> None:
        self._dispatch.submit(work)
        self._death.reach("submit")

    def wait(self) -> list[tuple[Ended, Mapping[str, Any] | None]]:
        found: list[tuple[Ended, Mapping[str, Any] | None]]
        found = [(e, None if result is None else result.told) for e, result in self._dispatch.wait()]
        if any(told is not None for _, told in found):
            self._death.reach("artefact")
        return found

    def capacity(self) -> int:
        return self._engine.capacity()

    def finish(self, trial: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        self._values[trial.number] = told["values"]
        return Verdict(told["values"])

    def finished(self, trial: FrozenTrial) -> None:
        note(self._order.history, "told", trial=trial.number, values=self._values[trial.number])

    def failed(self, trial: FrozenTrial, reason: str) -> None:
        raise ParetoError(reason)  # nothing may fail here

    def more(self) -> Sequence[Work]:
        return []


def main() -> None:
    """Run the sweep that the arguments ask for; ends as ``pareto`` does."""
    root, order = Path(sys.argv[1]), Order(**json.loads(sys.argv[2]))
    try:
        sweep(root, order, lambda line: print(line, file=sys.stderr, flush=True))
    except ParetoError as e:
        sys.exit(f"pareto: {e}")


if __name__ == "__main__":
    main()
