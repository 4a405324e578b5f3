"""The loop that leads a study: ask as soon as a slot is free, have it carried, tell.

Workers never touch the study. Whatever dies, the truth is the study and the artefacts: a driver that starts anew takes
up the running trials, tells those whose artefacts are there, and has the others carried again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from optuna.trial import FrozenTrial, TrialState

from pareto import drivers
from pareto.engines.work import Ended, Work
from pareto.errors import ParetoError

if TYPE_CHECKING:
    import optuna
    from optuna.trial import Trial

    from pareto.drivers import Driver

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Verdict:
    """What the study is told of a trial."""

    values: Sequence[float]
    """Normalised objective values, (m,), to be maximised."""
    violations: Sequence[float] = ()
    """One per priority; 0 or less where it is kept."""
    se: Sequence[float] | None = None
    """Standard errors of the values, (m,)."""


class Desk(Protocol):
    """What the loop asks of whom it works for."""

    def work(self, trial: FrozenTrial) -> Work | None:
        """What is to be done for a trial; ``None``: it waits for trials that are running."""
        ...

    def made(self, work: Work) -> Mapping[str, Any] | None:
        """What an earlier attempt told of it, whose artefacts are there."""
        ...

    def submit(self, work: Work) -> None:
        """Have it carried."""
        ...

    def wait(self) -> Sequence[tuple[Ended, Mapping[str, Any] | None]]:
        """What ended by now, with what it told where it is done; perhaps nothing."""
        ...

    def capacity(self) -> int:
        """Slots that are free."""
        ...

    def finish(self, trial: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        """Keep what was made for a trial; what the study is to be told. It may be finished already."""
        ...

    def finished(self, trial: FrozenTrial) -> None:
        """The study was told."""
        ...

    def failed(self, trial: FrozenTrial, reason: str) -> None:
        """A trial cannot be carried."""
        ...

    def more(self) -> Sequence[Work]:
        """What will be wanted after the trials and could be done by now, for slots that would be idle."""
        ...


class Ledger(Protocol):
    """Reads and writes a study, as ``StudyStore`` does; raises where somebody else leads it now."""

    def ask(self, propose: Callable[[], Trial | None], mine: Collection[int]) -> Trial | FrozenTrial | None:
        """A running trial that is none of ``mine``, else what is proposed; ``None`` when there is nothing now."""
        ...

    def tell(self, number: int, write: Callable[[], None]) -> None:
        """Finish a running trial, once."""
        ...

    def read(self, look: Callable[[], Answer]) -> Answer:
        """Look into the study."""
        ...


class Direct:
    """The ledger of a study that always answers.

    Args:
        study: the study.
        guard: entered around each write.
    """

    def __init__(self, study: optuna.Study, guard: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self.study, self.guard = study, guard

    def ask(self, propose: Callable[[], Trial | None], mine: Collection[int]) -> Trial | FrozenTrial | None:
        """See ``Ledger.ask``."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        unknown = next((t for t in running if t.number not in mine), None)
        with self.guard():
            return unknown or propose()

    def tell(self, number: int, write: Callable[[], None]) -> None:
        """See ``Ledger.tell``."""
        with self.guard():
            write()

    def read(self, look: Callable[[], Answer]) -> Answer:
        """See ``Ledger.read``."""
        return look()


class Steady:
    """One driver's loop over a study."""

    def __init__(
        self,
        study: optuna.Study,
        driver: Driver,
        desk: Desk,
        ledger: Ledger,
    ) -> None:
        """Begin.

        Args:
            study: the study.
            driver: who proposes its trials.
            desk: makes work of them.
            ledger: through which the study is read and written.
        """
        self.study, self.driver, self.desk, self.ledger = study, driver, desk, ledger
        self._waiting: dict[int, FrozenTrial] = {}
        """Trials that need others first."""
        self._under_way: dict[str, list[FrozenTrial]] = {}
        """Work's key → its trials."""
        self._beside: set[str] = set()
        """Keys of work for later that was begun, or was made already."""

    def run(self) -> None:
        """Carry the study to its end.

        Raises:
            ParetoError: nothing but failures came; somebody else leads the study; or the desk raises it.
        """
        # A trial of a driver that died is asked for like a new one.
        self._waiting = {t.number: t for t in self._trials(TrialState.COMPLETE)}
        while True:
            self._fill()
            if not self._under_way and not self._waiting and self.ledger.read(self.driver.finished):
                return
            for ended, told in self.desk.wait():
                self._ended(ended, told)

    def _fill(self) -> None:
        """Give every free slot something to do."""
        while sum(self._start(trial) for trial in list(self._waiting.values())):
            pass  # what was begun or finished may be what others waited for
        while self.desk.capacity() > 0 and not self._waiting:
            trial = self.ledger.ask(self.driver.ask, self._mine())
            if trial is None:
                break
            asked = self._frozen(trial.number)
            self._waiting[asked.number] = asked
            self._start(asked)
        if self._under_way and self.desk.capacity() > 0:
            self._fill_with_later()

    def _fill_with_later(self) -> None:
        for work in self.desk.more():
            if work.key in self._beside or work.key in self._under_way:
                continue
            self._beside.add(work.key)
            if self.desk.made(work) is None:
                self.desk.submit(work)
            if self.desk.capacity() <= 0:
                return

    def _start(self, trial: FrozenTrial) -> bool:
        """Begin a trial that waited, or finish it where it is made already; whether that changed anything."""
        work = self.desk.work(trial)
        if work is None:
            return False
        told = self.desk.made(work)
        if told is not None:
            del self._waiting[trial.number]
            self._finish(trial, told)
            return True
        if work.key in self._under_way:  # the same once more
            self._under_way[work.key].append(trial)
        elif self.desk.capacity() > 0:
            self._under_way[work.key] = [trial]
            self.desk.submit(work)
        else:
            return False
        del self._waiting[trial.number]
        return True

    def _ended(self, ended: Ended, told: Mapping[str, Any] | None) -> None:
        for trial in self._under_way.pop(ended.key, ()):
            if told is not None:
                self._finish(trial, told)
            elif ended.cause == "bug":
                raise RuntimeError(f"trial {trial.number}: {ended.error}")
            else:
                self._fail(trial, ended)

    def _finish(self, trial: FrozenTrial, told: Mapping[str, Any]) -> None:
        verdict = self.desk.finish(trial, told)
        if trial.state == TrialState.RUNNING:
            self._tell(trial, verdict)
        self.desk.finished(trial)

    def _fail(self, trial: FrozenTrial, ended: Ended) -> None:
        if trial.state == TrialState.COMPLETE:
            raise ParetoError(f"trial {trial.number}, whose artefacts are damaged, cannot be made again: {ended.error}")
        self.desk.failed(trial, ended.error)
        self.ledger.tell(trial.number, lambda: drivers.tell(self.study, trial, None))
        states = [t.state for t in self.ledger.read(lambda: self.study.get_trials(deepcopy=False))]
        failed = states.count(TrialState.FAIL)
        beside = sum(state == TrialState.RUNNING for state in states)
        if failed > 1 + 2 * beside and TrialState.COMPLETE not in states:
            # The recipe is at fault, not the trial.
            raise ParetoError(ended.error)

    def _tell(self, trial: FrozenTrial, verdict: Verdict) -> None:
        def write() -> None:
            drivers.tell(self.study, trial, verdict.values, verdict.violations, verdict.se)

        self.ledger.tell(trial.number, write)

    def _mine(self) -> set[int]:
        """Numbers of the running trials that are known."""
        return {*self._waiting, *(trial.number for trials in self._under_way.values() for trial in trials)}

    def _frozen(self, number: int) -> FrozenTrial:
        return self.ledger.read(lambda: self.study.get_trials(deepcopy=False)[number])

    def _trials(self, state: TrialState) -> list[FrozenTrial]:
        return self.ledger.read(lambda: self.study.get_trials(deepcopy=False, states=(state,)))
