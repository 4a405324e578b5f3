from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from pareto.drivers import make, proposal, tell
from pareto.errors import ParetoError


def test_a_generation_waits_for_all_its_members(recipe, new_study):
    study = new_study()
    driver = make(recipe({"family": "pymoo", "method": "SMSEMOA", "options": {"pop_size": 4}}), study)
    trials = [driver.ask() for _ in range(3 + 4)]
    assert all(trials)
    assert driver.ask() is None
    assert not driver.finished()
    for trial in trials[:-1]:
        tell(study, trial, proposal(trial).weights)
    assert driver.ask() is None
    tell(study, trials[-1], proposal(trials[-1]).weights)
    assert driver.ask() is not None


@pytest.mark.parametrize("method", ["NSGA3", "SMSEMOA"])
def test_steady_state_never_waits_and_learns_from_what_is_there(recipe, new_study, method):
    study = new_study()
    options = {"pop_size": 6, "steady": True}
    driver = make(recipe({"family": "pymoo", "method": method, "options": options, "trials": 45}), study)
    running = [driver.ask() for _ in range(4)]
    while running:
        trial = running.pop(0)
        tell(study, trial, [-abs(proposal(trial).weights[0] - 0.8)] * 3)
        if (asked := driver.ask()) is not None:
            running.append(asked)
        assert len(running) == 4 or driver.finished()
    assert len(study.trials) == 45
    distance = [abs(proposal(t).weights[0] - 0.8) for t in study.trials]
    assert sum(distance[-12:]) / 12 < 0.5 * sum(distance[3:9]) / 6


@settings(max_examples=8)
@given(data=st.data(), steady=st.booleans(), failing=st.sets(st.integers(0, 17), max_size=3))
def test_a_driver_made_anew_goes_on_exactly_whatever_order_the_trials_end_in(recipe, new_study, data, steady, failing):
    study = new_study()
    options = {"pop_size": 4, "steady": steady}
    the_recipe = recipe({"family": "pymoo", "method": "NSGA3", "options": options, "trials": 18})
    driver = make(the_recipe, study)
    while True:
        running = [t for t in study.trials if t.state == TrialState.RUNNING]
        if not running and driver.finished():
            break
        if len(running) < 3 and driver.ask() is not None:
            # A driver that replays from the start finds this trial where the other one put it, or it raises.
            make(the_recipe, study)._family.propose(study.trials)
            continue
        trial = data.draw(st.sampled_from(running))
        tell(study, trial, None if trial.number in failing else proposal(trial).weights)
    assert sum(t.state == TrialState.COMPLETE for t in study.trials) == 18


def test_a_sequence_with_a_barrier_does_not_go_on_without(recipe, new_study):
    study = new_study()
    barrier = {"family": "pymoo", "method": "NSGA3", "options": {"pop_size": 4}}
    first = make(recipe(barrier | {"trials": 9}), study)
    while trial := first.ask():
        tell(study, trial, proposal(trial).weights)
    steady = recipe({"family": "pymoo", "method": "NSGA3", "options": {"pop_size": 4, "steady": True}})
    with pytest.raises(ParetoError, match="was proposed without `steady`"):
        make(steady, study).ask()


@pytest.mark.parametrize("method", ["NSGA3", "MOEAD"])
def test_reference_directions_set_the_population(recipe, new_study, method):
    study = new_study()
    options = {"n_partitions": 3}  # ten directions
    driver = make(recipe({"family": "pymoo", "method": method, "options": options, "trials": 20}), study)
    asked = 0
    while driver.ask():
        asked += 1
    assert asked == 3 + 10


def test_selection_goes_by_the_values(recipe, new_study):
    # All objectives agree that the first weight should be large, so children crowd there.
    study = new_study()
    driver = make(recipe({"family": "pymoo", "method": "SMSEMOA", "options": {"pop_size": 6}, "trials": 39}), study)
    while trial := driver.ask():
        tell(study, trial, [-abs(proposal(trial).weights[0] - 0.8)] * 3)
    distance = [abs(proposal(t).weights[0] - 0.8) for t in study.trials]
    assert sum(distance[-12:]) / 12 < 0.5 * sum(distance[3:9]) / 6


def test_a_study_of_another_seed_is_refused(recipe, new_study):
    study = new_study()
    driver = {"family": "pymoo", "method": "NSGA3", "options": {"pop_size": 6}}
    first = make(recipe(driver), study)
    while trial := first.ask():
        tell(study, trial, proposal(trial).weights)
    longer = recipe(driver | {"trials": 20}, seed=7)
    with pytest.raises(ParetoError, match="is not what pymoo/NSGA3 proposes here"):
        make(longer, study).ask()


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        ({"method": "NSGA4"}, "pymoo has no 'NSGA4'; did you mean 'NSGA3'?"),
        ({"method": "MOEAD", "options": {"pop_size": 4}}, "MOEAD has no option 'pop_size'"),
        (
            {"method": "NSGA3", "options": {"pop_size": 1}},
            "pop_size: 1 is not a whole number of at least 2",
        ),
        ({"method": "MOEAD", "options": {"steady": True}}, "MOEAD has no option 'steady'"),
        ({"method": "NSGA3", "options": {"steady": "yes"}}, "steady: 'yes' is neither true nor false"),
        ({"method": "SMSEMOA", "options": {"steady": True, "n_offsprings": 4}}, "`steady` makes one at a time"),
        ({"method": "NSGA3", "options": {"pop_size": 4, "n_points": 9}}, "pop_size: 4 is less than the 9 reference"),
    ],
)
def test_a_wrong_algorithm_is_refused_with_what_would_be_right(recipe, new_study, driver, message):
    with pytest.raises(ParetoError) as error:
        make(recipe({"family": "pymoo"} | driver), new_study())
    assert message in str(error.value)


@pytest.mark.skipif(find_spec("numba") is not None, reason="numba is installed")
def test_age_moea_without_numba_says_what_to_install(recipe, new_study):
    with pytest.raises(ParetoError, match="needs numba"):
        make(recipe({"family": "pymoo", "method": "AGEMOEA"}), new_study())
