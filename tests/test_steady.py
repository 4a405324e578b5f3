"""The loop that leads a study: whatever order works end in and whoever dies, every trial is carried and told once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from pareto.config import Recipe
from pareto.drivers import Driver, make
from pareto.engines.work import Cause, Ended, Work
from pareto.errors import ParetoError
from pareto.steady import Direct, Steady, Verdict

NAMES = ("harmless", "honest", "helpful")
LATTICE = {"family": "lattice"}
RANDOM = {"family": "optuna", "method": "RandomSampler"}
STEADY = {"family": "pymoo", "method": "SMSEMOA", "options": {"steady": True, "pop_size": 2}}


@dataclass
class Scripted:
    """A desk with slots; ``order`` says which of the works under way ends next, ``fates`` how a trial ends."""

    slots: int = 2
    order: Sequence[int] = ()
    fates: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Place in the driver's sequence → how its attempts end: ``failed``, ``bug``; after these, done."""
    needs: Mapping[int, int] = field(default_factory=dict)
    """Place → place of the trial that must be finished first."""
    same: Mapping[int, int] = field(default_factory=dict)
    """Place → place whose work is the same."""
    later: Sequence[Work] = ()
    dies_at: float = float("inf")
    """Works submitted, upon the next of which the leading process dies."""
    artefacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    submitted: list[str] = field(default_factory=list)
    finished_places: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    """Free slots at each wait."""
    _under_way: list[Work] = field(default_factory=list)
    _steps: int = 0

    def work(self, trial: FrozenTrial) -> Work | None:
        place = trial.user_attrs["index"]
        if self.needs.get(place, place) not in [place, *self.finished_places]:
            return None
        return Work("scripted:trial", {"place": self.same.get(place, place)})

    def made(self, work: Work) -> Mapping[str, Any] | None:
        return self.artefacts.get(work.key)

    def submit(self, work: Work) -> None:
        if len(self.submitted) >= self.dies_at:
            raise KeyboardInterrupt
        assert self.capacity() > 0
        assert work.key not in [w.key for w in self._under_way]
        self.submitted.append(work.key)
        self._under_way.append(work)

    def wait(self) -> list[tuple[Ended, Mapping[str, Any] | None]]:
        assert self._under_way, "it would wait for ever"
        self.idle.append(self.capacity())
        chosen = self.order[self._steps % len(self.order)] if self.order else 0
        self._steps += 1
        work = self._under_way.pop(chosen % len(self._under_way))
        fates = self.fates.get(work.body.get("place", -1), ())
        attempt = self.submitted.count(work.key) - 1
        if attempt < len(fates):
            cause: Cause = "bug" if fates[attempt] == "bug" else "user"
            return [(Ended(work.key, "failed", error=f"{fates[attempt]} {work.body}", cause=cause), None)]
        self.artefacts[work.key] = dict(work.body)
        return [(Ended(work.key, "done", work.body), self.artefacts[work.key])]

    def capacity(self) -> int:
        return self.slots - len(self._under_way)

    def finish(self, trial: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        weights = list(trial.user_attrs["weights"].values())
        return Verdict([float(told["place"]), *weights[1:]], [-1.0], [0.1] * 3)

    def finished(self, trial: FrozenTrial) -> None:
        self.finished_places.append(trial.user_attrs["index"])

    def failed(self, trial: FrozenTrial, reason: str) -> None:
        self.reasons.append(reason)

    def more(self) -> Sequence[Work]:
        return self.later


def _recipe(driver: dict[str, Any], trials: int) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "test",
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "people"}]},
            "objectives": [{"name": name, "reward": name} for name in NAMES],
            "driver": {"trials": trials} | driver,
        }
    )


def _study(storage: str | None = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(study_name="s", storage=storage, directions=["maximize"] * 3, load_if_exists=True)


def _led(desk: Scripted, study: optuna.Study, driver: dict[str, Any] = RANDOM, trials: int = 8) -> optuna.Study:
    Steady(study, make(_recipe(driver, trials), study), desk, Direct(study)).run()
    return study


def _states(study: optuna.Study) -> list[TrialState]:
    return [t.state for t in study.trials]


@pytest.mark.parametrize("driver", [LATTICE, RANDOM, STEADY])
@pytest.mark.parametrize("slots", [1, 3])
def test_no_slot_is_idle_while_there_is_something_to_ask(driver: dict[str, Any], slots: int) -> None:
    desk = Scripted(slots)
    study = _led(desk, _study(), driver)
    assert _states(study) == [TrialState.COMPLETE] * 8
    assert desk.idle == [0] * (8 - slots) + list(range(slots))
    assert all(t.values[0] == t.user_attrs["index"] and t.user_attrs["se"] == [0.1] * 3 for t in study.trials)
    assert all(t.constraints == {"priority_0": -1.0} for t in study.trials)


def test_a_generation_of_pymoo_is_a_barrier() -> None:
    desk = Scripted(slots=4)
    _led(desk, _study(), {"family": "pymoo", "method": "SMSEMOA", "options": {"pop_size": 4}}, trials=15)
    assert sum(desk.idle[:-4]) > 0


@settings(max_examples=30)
@given(
    slots=st.integers(1, 5),
    order=st.lists(st.integers(0, 4), min_size=1, max_size=20),
    failing=st.dictionaries(st.integers(1, 7), st.integers(1, 2), max_size=2),
    driver=st.sampled_from([LATTICE, RANDOM, STEADY]),
)
def test_every_trial_is_told_once_whatever_order_they_end_in(
    slots: int, order: list[int], failing: dict[int, int], driver: dict[str, Any]
) -> None:
    desk = Scripted(slots, order, {place: ["failed"] * times for place, times in failing.items()})
    study = _led(desk, _study(), driver)
    assert TrialState.RUNNING not in _states(study)
    complete = [t.user_attrs["index"] for t in study.trials if t.state == TrialState.COMPLETE]
    assert len(complete) == len(set(complete))
    assert sorted(desk.finished_places) == sorted(complete)
    # Nothing is carried twice but what failed, and that once more.
    assert len(desk.submitted) == len(study.trials)
    assert max(desk.submitted.count(key) for key in desk.submitted) <= 2
    given_up = {place for place, times in failing.items() if times == 2}
    assert len(complete) == 8  # others came in their place
    assert not given_up & set(complete)


@settings(max_examples=30)
@given(cut=st.integers(0, 8), orders=st.lists(st.integers(0, 2), min_size=2, max_size=8))
def test_a_driver_that_died_is_followed_by_one_that_takes_up_its_trials(cut: int, orders: list[int]) -> None:
    study, desk = _study(), Scripted(slots=3, order=orders, dies_at=cut)
    if cut < 8:
        with pytest.raises(KeyboardInterrupt):
            _led(desk, study)
    whole = set(desk.artefacts)
    after = Scripted(slots=3, order=orders, artefacts=desk.artefacts)
    _led(after, study)
    assert _states(study) == [TrialState.COMPLETE] * 8
    assert [t.number for t in study.trials] == list(range(8))  # no number was given anew
    assert not whole & set(after.submitted)
    assert sorted(after.submitted) == sorted({Work("scripted:trial", {"place": k}).key for k in range(8)} - whole)


def test_an_artefact_of_a_dead_driver_is_told_without_being_carried(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = _study(url)
    driver = make(_recipe(RANDOM, 3), study)
    assert driver.ask() is not None
    assert driver.ask() is not None
    whole = Work("scripted:trial", {"place": 0})
    desk = Scripted(slots=2, artefacts={whole.key: {"place": 0}})
    _led(desk, _study(url), trials=3)
    assert _states(_study(url)) == [TrialState.COMPLETE] * 3
    assert whole.key not in desk.submitted
    assert desk.submitted[0] == Work("scripted:trial", {"place": 1}).key


def test_a_trial_that_waits_for_others_keeps_the_driver_from_being_asked() -> None:
    desk = Scripted(slots=3, needs={2: 1})
    study = _study()
    asked: list[list[TrialState]] = []
    driver = make(_recipe(RANDOM, 5), study)
    real = driver.ask

    class Asked:
        def ask(self) -> optuna.Trial | None:
            asked.append(_states(study))
            return real()

        def finished(self) -> bool:
            return driver.finished()

    Steady(study, Asked(), desk, Direct(study)).run()
    assert asked[3][1] == TrialState.COMPLETE  # place 3 came only once 1, for which 2 waited, was there
    assert _states(study) == [TrialState.COMPLETE] * 5


def test_two_trials_of_the_same_work_are_carried_once() -> None:
    desk = Scripted(slots=3, same={4: 3})
    study = _led(desk, _study())
    assert _states(study) == [TrialState.COMPLETE] * 8
    assert len(desk.submitted) == 7
    assert [t.values[0] for t in study.trials][3:5] == [3.0, 3.0]


def test_work_for_later_fills_slots_only_beside_trials() -> None:
    later = [Work("scripted:later", {"soup": k}) for k in range(3)]
    desk = Scripted(slots=2, later=later)
    _led(desk, _study(), trials=3)
    trials = [Work("scripted:trial", {"place": k}).key for k in range(3)]
    assert desk.submitted[:3] == trials
    assert set(desk.submitted[3:]) <= {work.key for work in later}
    assert desk.submitted[3:]
    empty = Scripted(slots=4, later=later)
    study = _study()
    _led(empty, study, trials=3)
    again = Scripted(slots=4, later=later, artefacts=empty.artefacts)
    _led(again, study, trials=3)
    assert not again.submitted  # no trial was under way


@pytest.mark.parametrize(("slots", "carried"), [(1, 2), (3, 2 * 8 + 3)])
def test_where_all_trials_fail_the_reason_is_told(slots: int, carried: int) -> None:
    desk = Scripted(slots, fates={place: ["failed"] * 2 for place in range(40)})
    with pytest.raises(ParetoError, match="failed"):
        _led(desk, _study())
    assert len(desk.submitted) <= carried


def test_a_bug_of_a_task_ends_the_loop_and_leaves_the_trial_running() -> None:
    study = _study()
    with pytest.raises(RuntimeError, match="trial 1: bug"):
        _led(Scripted(slots=1, fates={1: ["bug"]}), study)
    assert _states(study) == [TrialState.COMPLETE, TrialState.RUNNING]


@pytest.mark.parametrize("writes", [0, 1, 3, 4])
def test_a_driver_that_no_longer_leads_writes_nothing_more(writes: int) -> None:
    study, entered = _study(), 0

    @contextmanager
    def guard() -> Iterator[None]:
        nonlocal entered
        if entered == writes:
            raise ParetoError("another driver leads study s")
        entered += 1
        yield

    driver: Driver = make(_recipe(RANDOM, 8), study)
    with pytest.raises(ParetoError, match="another driver leads"):
        Steady(study, driver, Scripted(slots=2), Direct(study, guard)).run()
    states = _states(study)
    told = sum(state == TrialState.COMPLETE for state in states)
    assert len(states) + told == writes  # asks and tells


def test_a_finished_trial_whose_artefact_is_gone_is_made_again_and_not_told_again() -> None:
    study, desk = _study(), Scripted()
    _led(desk, study)
    before = [(t.values, t.datetime_complete) for t in study.trials]
    del desk.artefacts[desk.submitted[3]]
    again = Scripted(artefacts=desk.artefacts)
    _led(again, study)
    assert again.submitted == [desk.submitted[3]]
    assert [(t.values, t.datetime_complete) for t in study.trials] == before
    del again.artefacts[desk.submitted[3]]
    with pytest.raises(ParetoError, match="cannot be made again"):
        _led(Scripted(artefacts=again.artefacts, fates={3: ["failed"]}), study)
