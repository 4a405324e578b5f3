"""What every driver promises, on a problem whose front is known.

Objective k is minus the squared distance of the weights from corner k; no point of the simplex dominates
another, so the whole simplex is the front.
"""

import subprocess
import sys
from itertools import count
from pathlib import Path

import moocore
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import pareto
from pareto.drivers import make, proposal, tell
from pareto.simplex import corners, das_dennis, from_sticks

NAMES = ("harmless", "honest", "helpful")
BUDGET = 12
LOOKS = 4
"""Soups that the adaptive driver measures beside the adapters of the budget."""
SHARE = 0.6
"""Of the whole front's hypervolume; corners and centre reach 0.48, twelve uniform points about 0.7."""

DRIVERS = {
    "das-dennis": {"family": "lattice", "method": "das-dennis"},
    "energy": {"family": "lattice", "method": "energy"},
    "TPE": {"family": "optuna", "method": "TPESampler"},
    "NSGA-II": {"family": "optuna", "method": "NSGAIISampler"},
    "NSGA-III": {"family": "optuna", "method": "NSGAIIISampler"},
    # The last proposal comes from the Gaussian process, which takes two seconds of CPU time.
    "GP": {"family": "optuna", "method": "GPSampler", "options": {"n_startup_trials": BUDGET - 1}},
    "QMC": {"family": "optuna", "method": "QMCSampler"},
    "NSGA3": {"family": "pymoo", "method": "NSGA3"},
    "MOEAD": {"family": "pymoo", "method": "MOEAD"},
    "SMSEMOA": {"family": "pymoo", "method": "SMSEMOA"},
    "NSGA3, steady": {"family": "pymoo", "method": "NSGA3", "options": {"steady": True}},
    # Here its rule that stops is never asked: the budget ends the run.
    "adaptive": {"family": "adaptive", "options": {"looks": LOOKS, "explore": BUDGET - 3}},
}
every_driver = pytest.mark.parametrize("name", DRIVERS)
every_quick_driver = pytest.mark.parametrize("name", [name for name in DRIVERS if name != "GP"])


def open_study(storage):
    return optuna.load_study(study_name="s", storage=storage)


def values(weights):
    return -((np.asarray(weights) - corners(3)) ** 2).sum(axis=1)


def measure(study, trial):
    tell(study, trial, values(proposal(trial).weights))


def run(the_recipe, study, limit=40):
    driver = make(the_recipe, study)
    for _ in range(limit):
        trial = driver.ask()
        if trial is None:
            break
        measure(study, trial)
    assert driver.finished()
    return study


def asked(study):
    """What was proposed and measured, in the order of the driver's sequence."""
    done = [t for t in study.trials if t.state == TrialState.COMPLETE]
    done.sort(key=lambda t: t.user_attrs["index"])
    return [(t.params, t.user_attrs["weights"], t.user_attrs.get("coefficients")) for t in done]


def adapters(study):
    """Trials that train; the others only look at a soup."""
    return [t for t in study.trials if t.user_attrs["kind"] != "soup"]


def hypervolume(points):
    return moocore.hypervolume(np.array(points), ref=[-2.1] * 3, maximise=True)


def share(points):
    return hypervolume(points) / hypervolume([values(w) for w in das_dennis(3, 60)])


@pytest.fixture(scope="module")
def uninterrupted(recipe, new_study):
    """Name → the finished study of one worker that was never stopped."""
    done = {}

    def of(name):
        if name not in done:
            done[name] = run(recipe(DRIVERS[name]), new_study())
        return done[name]

    return of


@every_driver
def test_a_run_spends_its_budget_on_different_weights_corners_first(name, uninterrupted):
    study = uninterrupted(name)
    trials = adapters(study)
    assert len(trials) == BUDGET
    assert len(study.trials) - BUDGET == (LOOKS if name == "adaptive" else 0)
    weights = [proposal(t).weights for t in trials]
    assert weights[:3] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert len({tuple(np.round(w, 5)) for w in weights}) == BUDGET
    for trial, w in zip(trials, weights, strict=True):
        assert min(w) >= 0
        assert sum(w) == pytest.approx(1, abs=1e-9)
        assert tuple(trial.user_attrs["weights"]) == NAMES
        assert from_sticks([trial.params["stick_0"], trial.params["stick_1"]]) == pytest.approx(w, abs=1e-7)
    assert [t.user_attrs["kind"] for t in trials] == ["expert"] * 3 + ["trained"] * (BUDGET - 3)
    method = DRIVERS[name].get("method", "experts")
    assert {t.user_attrs["proposed_by"] for t in trials} == {f"{DRIVERS[name]['family']}/{method}"}
    indices = [t.user_attrs["index"] for t in study.trials]
    assert indices == sorted(set(indices))


@every_driver
def test_the_front_is_found(name, uninterrupted):
    assert share([t.values for t in uninterrupted(name).trials]) > SHARE


def test_a_driver_that_proposes_one_point_does_not_find_the_front():
    centre = values([1 / 3, 1 / 3, 1 / 3])
    assert share([centre]) < SHARE
    assert share([*map(values, corners(3)), centre]) < SHARE


@every_driver
def test_a_worker_restarted_at_every_trial_proposes_the_same(name, uninterrupted, tmp_path, recipe, new_study):
    url = f"sqlite:///{tmp_path}/study.db"
    new_study(url)
    for number in range(len(uninterrupted(name).trials)):
        # Killed between ask and tell too: the trial is found again in the study.
        assert make(recipe(DRIVERS[name]), open_study(url)).ask().number == number
        study = open_study(url)
        measure(study, study.trials[number])
    assert make(recipe(DRIVERS[name]), open_study(url)).ask() is None
    assert asked(open_study(url)) == asked(uninterrupted(name))


@every_quick_driver
def test_a_failed_trial_is_asked_again_and_the_rest_stays_the_same(name, uninterrupted, recipe, new_study):
    study = new_study()
    driver = make(recipe(DRIVERS[name]), study)
    for number in count():
        trial = driver.ask()
        if trial is None:
            break
        if number in (1, 5):
            tell(study, trial, None)
            assert not driver.finished()
        else:
            measure(study, trial)
    assert [t.number for t in study.trials if t.state == TrialState.FAIL] == [1, 5]
    assert asked(study) == asked(uninterrupted(name))


@every_quick_driver
def test_a_proposal_that_fails_twice_is_given_up(name, recipe, new_study):
    study = new_study()
    driver = make(recipe(DRIVERS[name]), study)
    while (trial := driver.ask()) is not None:
        if trial.user_attrs["index"] == 4:
            tell(study, trial, None)
        else:
            measure(study, trial)
    assert driver.finished()
    assert sum(t.state == TrialState.FAIL for t in study.trials) == 2
    # A lattice that is no larger than the budget has nothing to put in its place.
    points = {"das-dennis": BUDGET, "energy": BUDGET - 1, "adaptive": BUDGET + LOOKS - 1}.get(name, BUDGET)
    assert len(asked(study)) == points


def test_a_run_in_which_everything_fails_ends(recipe, new_study):
    study = new_study()
    driver = make(recipe({"family": "optuna", "method": "RandomSampler"}), study)
    while (trial := driver.ask()) is not None:
        tell(study, trial, None)
    assert driver.finished()
    assert len(study.trials) == 2 * BUDGET


@every_quick_driver
def test_two_workers_never_get_the_same_proposal_and_keep_to_the_budget(name, tmp_path, recipe, new_study):
    url = f"sqlite:///{tmp_path}/study.db"
    new_study(url)
    workers = [open_study(url), open_study(url)]
    drivers = [make(recipe(DRIVERS[name]), study) for study in workers]
    while not drivers[0].finished():
        running = [(study, driver.ask()) for study, driver in zip(workers, drivers, strict=True)]
        assert any(trial for _, trial in running)
        for study, trial in reversed(running):
            if trial is not None:
                measure(study, trial)
    weights = [proposal(t).weights for t in adapters(open_study(url))]
    assert len(weights) == BUDGET
    assert len({tuple(np.round(w, 5)) for w in weights}) == BUDGET


@every_quick_driver
def test_what_somebody_queued_is_taken_after_the_corners_and_counted(name, recipe, new_study):
    study = new_study()
    study.enqueue_trial({"stick_0": 0.5, "stick_1": 0.5})
    trials = adapters(run(recipe(DRIVERS[name]), study))
    assert len(trials) == BUDGET
    assert trials[0].user_attrs["proposed_by"] == "queue"
    assert trials[0].user_attrs["kind"] == "trained"
    assert proposal(trials[0]).weights == pytest.approx((1 - 0.5**0.5, 0.5**1.5, 0.5**1.5))
    assert [proposal(t).weights for t in trials[1:4]] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert all(t.state == TrialState.COMPLETE for t in trials)


CONTINUE = """
import sys
import optuna
from pareto.config import Recipe
from pareto.drivers import make, proposal, tell

study = optuna.load_study(study_name="s", storage=sys.argv[1])
driver = make(Recipe.model_validate_json(sys.argv[2]), study)
while trial := driver.ask():
    w = proposal(trial).weights
    tell(study, trial, [-sum((v - (j == k)) ** 2 for j, v in enumerate(w)) for k in range(3)])
"""


@pytest.mark.parametrize("name", ["TPE", "NSGA3"])
def test_another_process_goes_on_with_the_same_sequence(name, uninterrupted, tmp_path, recipe, new_study):
    url = f"sqlite:///{tmp_path}/study.db"
    study = new_study(url)
    driver = make(recipe(DRIVERS[name]), study)
    for _ in range(5):
        measure(study, driver.ask())
    there = Path(pareto.__file__).parents[1]
    the_recipe = recipe(DRIVERS[name]).model_dump_json()
    subprocess.run([sys.executable, "-c", CONTINUE, url, the_recipe], cwd=there, check=True)
    assert asked(open_study(url)) == asked(uninterrupted(name))


def test_optuna_dashboard_lists_the_trials(tmp_path, recipe, new_study):
    from optuna_dashboard._inmemory_cache import InMemoryCache
    from optuna_dashboard._storage import get_studies, get_trials

    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    run(recipe(DRIVERS["das-dennis"]), new_study(storage))
    (summary,) = get_studies(storage)
    listed = get_trials(InMemoryCache(), storage, summary._study_id)
    assert len(listed) == BUDGET
    assert all(t.state == TrialState.COMPLETE and set(t.user_attrs["weights"]) == set(NAMES) for t in listed)
