import optuna
import pytest

from pareto.drivers import make, proposal, tell
from pareto.errors import ParetoError

SEARCH = {"beta": [0.01, 0.05], "learning_rate": [1e-5, 1e-3], "rank": [4, 32]}


def test_settings_are_searched_beside_the_weights_and_experts_use_the_recipes_own(recipe, new_study):
    study = new_study()
    driver = make(recipe({"family": "optuna", "method": "TPESampler", "search": SEARCH}), study)
    while trial := driver.ask():
        tell(study, trial, [0.0, 0.0, 0.0])
    proposals = [proposal(t) for t in study.trials]
    # The recipe's beta, 0.1, lies outside the searched range and is moved to its end.
    assert [p.settings for p in proposals[:3]] == [{"beta": 0.05, "learning_rate": 4e-4, "rank": 16}] * 3
    for p in proposals:
        assert 0.01 <= p.settings["beta"] <= 0.05
        assert 1e-5 <= p.settings["learning_rate"] <= 1e-3
        assert 4 <= p.settings["rank"] <= 32
        assert isinstance(p.settings["rank"], int)
    assert len({p.settings["beta"] for p in proposals[3:]}) == 9


def test_another_seed_proposes_other_weights(recipe, new_study):
    first = []
    for seed in (0, 1):
        study = new_study()
        driver = make(recipe({"family": "optuna", "method": "RandomSampler"}, seed=seed), study)
        first.append([proposal(driver.ask()).weights for _ in range(4)])
    assert first[0][:3] == first[1][:3]
    assert first[0][3] != first[1][3]


@pytest.mark.parametrize("scramble", [False, True])
def test_quasi_random_weights_follow_one_sequence(recipe, new_study, scramble):
    options = {"scramble": scramble, "seed": 5}
    study = new_study()
    driver = make(recipe({"family": "optuna", "method": "QMCSampler", "options": options, "trials": 11}), study)
    while driver.ask():
        pass
    # A Sobol sequence puts two of eight points into each quarter of an axis. The unscrambled one starts in a
    # corner, which is tried already; its ninth point, in the same quarter, takes the place.
    sticks = [t.params["stick_0"] for t in study.trials[3:]]
    assert [sum(q / 4 <= u < (q + 1) / 4 for u in sticks) for q in range(4)] == [2, 2, 2, 2]


def test_samplers_keep_away_from_what_breaks_a_priority(recipe, new_study):
    study = new_study()
    driver = make(recipe({"family": "optuna", "method": "TPESampler", "trials": 40}), study)
    while trial := driver.ask():
        w = proposal(trial).weights
        tell(study, trial, w, constraints=[0.5 - w[0]])
    late = [proposal(t).weights[0] >= 0.5 for t in study.trials[20:]]
    # A quarter of the simplex has its first weight above one half.
    assert sum(late) > 10


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        ({"method": "TPESampeler"}, "optuna has no 'TPESampeler'; did you mean 'TPESampler'?"),
        ({"method": "CmaEsSampler"}, "optuna has no 'CmaEsSampler'"),
        (
            {"method": "TPESampler", "options": {"n_startup": 3}},
            "did you mean 'n_startup_trials'?",
        ),
        ({"method": "NSGAIISampler", "options": {"population_size": 1}}, "driver.options: NSGAIISampler: "),
        ({"method": "TPESampler", "search": {"beta": [0, 1]}}, "driver.search.beta: [0, 1]"),
        ({"method": "TPESampler", "search": {"rank": [4.5, 8]}}, "driver.search.rank: [4.5, 8] must be whole numbers"),
    ],
)
def test_a_wrong_sampler_is_refused_with_what_would_be_right(recipe, new_study, driver, message):
    with pytest.raises(ParetoError) as error:
        make(recipe({"family": "optuna"} | driver), new_study())
    assert message in str(error.value)


def test_proposing_says_nothing_on_the_users_screen(recipe, new_study, capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        driver = make(recipe({"family": "optuna", "method": "TPESampler"}), new_study())
        capfd.readouterr()
        for _ in range(4):
            driver.ask()
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert capfd.readouterr() == ("", "")
