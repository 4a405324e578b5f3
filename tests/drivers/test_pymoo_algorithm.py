from importlib.util import find_spec

import pytest

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
