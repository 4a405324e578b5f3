import math

import pytest
from optuna.trial import TrialState

from pareto.drivers import make, proposal, tell


def test_a_trial_read_from_the_study_says_what_was_asked(recipe, new_study):
    study = new_study()
    driver = make(recipe({}), study)
    live = [driver.ask() for _ in range(5)]
    assert [proposal(t) for t in study.trials] == [proposal(t) for t in live]


def test_constraints_keep_a_trial_from_the_best_and_show_as_violations(recipe, new_study):
    study = new_study()
    driver = make(recipe({}), study)
    good, bad = driver.ask(), driver.ask()
    tell(study, good, [0.0, 0.0, 0.0], constraints=[-0.5, 0.0])
    tell(study, bad, [1.0, 1.0, 1.0], constraints=[-1.0, 0.25])
    assert [t.number for t in study.best_trials] == [good.number]
    assert study.trials[bad.number].user_attrs["violations"] == [0.0, 0.25]


def test_a_tell_that_was_killed_halfway_can_be_repeated(recipe, new_study):
    study = new_study()
    trial = make(recipe({}), study).ask()
    trial.set_constraint("priority_0", 0.5)
    tell(study, study.trials[0], [0.0, 0.0, 0.0], constraints=[0.5, -1.0])
    assert study.trials[0].constraints == {"priority_0": 0.5, "priority_1": -1.0}
    assert study.trials[0].state == TrialState.COMPLETE


@pytest.mark.parametrize("values", [None, [0.0, math.nan, 0.0]])
def test_a_trial_without_values_fails(recipe, new_study, values):
    study = new_study()
    tell(study, make(recipe({}), study).ask(), values)
    assert study.trials[0].state == TrialState.FAIL


def test_a_wrong_number_of_values_is_refused(recipe, new_study):
    study = new_study()
    with pytest.raises(ValueError, match="2 values for 3 objectives"):
        tell(study, make(recipe({}), study).ask(), [0.0, 0.0])


def test_standard_errors_are_kept_with_the_trial(recipe, new_study):
    study = new_study()
    driver = make(recipe({}), study)
    tell(study, driver.ask(), [0.0, 0.0, 0.0], se=[0.1, 0.2, 0.3])
    tell(study, driver.ask(), [0.0, 0.0, 0.0])
    assert study.trials[0].user_attrs["se"] == [0.1, 0.2, 0.3]
    assert "se" not in study.trials[1].user_attrs
