"""The adaptive driver on made-up policies whose training brings what a test says it brings."""

import numpy as np
import pytest
from optuna.trial import TrialState

from pareto.config import Driver
from pareto.drivers import make, tell
from pareto.drivers.adaptive import explain
from pareto.drivers.trials import point_id
from pareto.errors import ParetoError
from pareto.simplex import das_dennis

NAMES = ("harmless", "honest", "helpful")
NOISE = 0.05


class World:
    """An expert wins 1.5 at its own objective and costs the others; training from a soup adds ``lift`` of it."""

    def __init__(self, lift, seed=0):
        self.lift, self.noise = lift, np.random.default_rng(seed)
        self.mixtures, self.won = {}, {}

    def sum(self, table, mixture):
        return sum((c * table[name] for name, c in mixture.items()), np.zeros(3))

    def measure(self, trial):
        attrs, name = trial.user_attrs, point_id(trial)
        mixture = attrs.get("coefficients")
        if mixture is None:
            w = np.array(list(attrs["weights"].values()))
            start = attrs.get("start", {})
            self.mixtures[name] = self.sum(self.mixtures, start) if start else w
            self.won[name] = self.sum(self.won, start) + (self.lift * w * 1.5 if start else 0)
            mixture = {name: 1.0}
        x = self.sum(self.mixtures, mixture)
        z = 2 * x - 0.5 * x**2 - 0.4 * (x.sum() - x) + self.sum(self.won, mixture)
        return z + self.noise.normal(0, NOISE, 3)


def go_on(recipe, study, world, limit=60, fresh=False):
    driver = make(recipe, study)
    for _ in range(limit):
        driver = make(recipe, study) if fresh else driver
        trial = driver.ask()
        if trial is None:
            break
        tell(study, trial, world.measure(trial), se=[NOISE] * 3)
    return driver


def adaptive(recipe, trials=9, method="experts", **options):
    return recipe({"family": "adaptive", "method": method, "trials": trials, "options": {"looks": 5} | options})


def kinds(study):
    return [t.user_attrs["kind"] for t in study.trials]


def test_experts_then_looks_then_training_from_the_best_measured_soup(recipe, new_study):
    study = new_study()
    assert go_on(adaptive(recipe), study, World(lift=0.6)).finished()
    assert kinds(study) == ["expert"] * 3 + ["soup"] * 5 + ["trained"] * 6
    experts = {f"expert-{name}" for name in NAMES}
    looks = [t.user_attrs["coefficients"] for t in study.trials[3:8]]
    assert all(set(look) <= experts for look in looks)
    assert [max(look.values()) for look in looks[:3]] == [1, 1, 1]
    assert len({tuple(sorted(look.items())) for look in looks}) == 5
    measured = [{f"expert-{name}": 1.0} for name in NAMES] + looks
    for trial in study.trials[8:]:
        assert trial.user_attrs["start"] in measured
        measured.append({f"trial-{trial.number}": 1.0})
    weights = [tuple(t.user_attrs["weights"].values()) for t in study.trials[8:]]
    assert len(set(weights)) == 6
    assert set(weights) <= set(map(tuple, das_dennis(3, 4).tolist()))
    assert all(sum(t.user_attrs["weights"].values()) == pytest.approx(1) for t in study.trials)


@pytest.mark.parametrize("seed", range(4))
def test_it_stops_by_itself_where_training_brings_nothing(recipe, new_study, seed):
    study = new_study()
    the_recipe = adaptive(recipe)
    assert go_on(the_recipe, study, World(lift=0, seed=seed)).finished()
    assert kinds(study).count("trained") == 1
    left = explain(the_recipe, study.trials)
    assert len(left) == 11
    assert all(o.gain <= o.uncertainty for o in left)


def test_without_exploring_it_may_train_nothing(recipe, new_study):
    study = new_study()
    # The prior expects 1/4 of what an expert won; where an expert won nothing, that is nothing.
    world = World(lift=1)
    world.measure = lambda trial: np.zeros(3)
    assert go_on(adaptive(recipe, explore=0), study, world).finished()
    assert kinds(study) == ["expert"] * 3 + ["soup"] * 5


def test_looks_go_on_where_the_budget_of_adapters_is_spent_by_the_experts(recipe, new_study):
    study = new_study()
    assert go_on(adaptive(recipe, trials=3), study, World(lift=1)).finished()
    assert kinds(study) == ["expert"] * 3 + ["soup"] * 5


def test_without_looks_training_starts_from_the_experts(recipe, new_study):
    study = new_study()
    go_on(adaptive(recipe, trials=4, looks=0), study, World(lift=1))
    assert kinds(study) == ["expert"] * 3 + ["trained"]
    assert study.trials[3].user_attrs["start"] in [{f"expert-{name}": 1.0} for name in NAMES]


def test_a_look_and_a_training_at_the_same_weights_are_two_proposals(recipe, new_study):
    study = new_study()
    assert go_on(adaptive(recipe, n_partitions=2, explore=9), study, World(lift=0)).finished()
    by_kind = {
        kind: {tuple(t.user_attrs["weights"].values()) for t in study.trials if t.user_attrs["kind"] == kind}
        for kind in ("soup", "trained")
    }
    assert by_kind["trained"] == {(0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)}
    assert by_kind["trained"] <= by_kind["soup"]


def test_a_resumed_study_gets_the_same_proposals_and_stops_at_the_same_place(recipe, new_study):
    whole, resumed = new_study(), new_study()
    go_on(adaptive(recipe, looks=7), whole, World(lift=0.25))
    go_on(adaptive(recipe, looks=7), resumed, World(lift=0.25), limit=9)
    assert len(resumed.trials) == 9
    again = World(lift=0.25)
    for trial in resumed.trials:
        again.measure(trial)
    assert go_on(adaptive(recipe, looks=7), resumed, again, fresh=True).finished()
    assert [(t.params, t.user_attrs) for t in resumed.trials] == [(t.params, t.user_attrs) for t in whole.trials]


def test_workers_wait_for_what_the_next_proposal_depends_on(recipe, new_study):
    study, world = new_study(), World(lift=1)
    driver = make(adaptive(recipe, looks=4), study)

    def done(trial):
        tell(study, trial, world.measure(trial), se=[NOISE] * 3)

    experts = [driver.ask() for _ in range(3)]
    assert driver.ask() is None
    for trial in experts:
        done(trial)
    # Two fixed looks at once; the third depends on what they bring.
    looks = [driver.ask(), driver.ask()]
    assert all(trial.user_attrs["kind"] == "soup" for trial in looks)
    assert driver.ask() is None
    assert not driver.finished()
    for trial in looks:
        done(trial)
    for kind in ("soup", "soup", "trained", "trained"):
        trial = driver.ask()
        assert trial.user_attrs["kind"] == kind
        assert driver.ask() is None
        assert not driver.finished()
        done(trial)


def test_what_fails_is_asked_once_more_as_it_was(recipe, new_study):
    study, world = new_study(), World(lift=1)
    driver = make(adaptive(recipe, trials=5, looks=2), study)
    while (trial := driver.ask()) is not None:
        failing = trial.user_attrs["index"] in (4, 5) and trial.number in (4, 6)
        tell(study, trial, None if failing else world.measure(trial), se=[NOISE] * 3)
    failed = [t for t in study.trials if t.state == TrialState.FAIL]
    assert [t.user_attrs["kind"] for t in failed] == ["soup", "trained"]
    for trial in failed:
        assert study.trials[trial.number + 1].user_attrs == trial.user_attrs | {"violations": [], "se": [NOISE] * 3}
    assert kinds(study) == ["expert"] * 3 + ["soup"] * 3 + ["trained"] * 3


def test_a_run_goes_on_without_an_expert_that_cannot_be_trained(recipe, new_study):
    study, world = new_study(), World(lift=1)
    driver = make(adaptive(recipe, trials=5, looks=3), study)
    while (trial := driver.ask()) is not None:
        tell(study, trial, None if trial.user_attrs["index"] == 1 else world.measure(trial))
    assert driver.finished()
    soups = [set(t.user_attrs["coefficients"]) for t in study.trials if t.user_attrs["kind"] == "soup"]
    assert soups
    assert all(soup <= {"expert-harmless", "expert-helpful"} for soup in soups)


def test_no_coefficient_is_above_the_scale(recipe, new_study):
    study = new_study()
    go_on(adaptive(recipe, trials=3, looks=8, scale=0.8), study, World(lift=0))
    looks = [t.user_attrs["coefficients"] for t in study.trials if t.user_attrs["kind"] == "soup"]
    assert max(max(look.values()) for look in looks) == pytest.approx(0.8)


def test_backbones_are_trained_on_mixed_rewards_and_mixed_to_preferences(recipe, new_study):
    study = new_study()
    go_on(adaptive(recipe, method="backbone", trials=4, looks=10, beta=0.8), study, World(lift=0.2))
    assert [list(t.user_attrs["weights"].values()) for t in study.trials[:3]] == [
        pytest.approx([0.8, 0.1, 0.1]),
        pytest.approx([0.1, 0.8, 0.1]),
        pytest.approx([0.1, 0.1, 0.8]),
    ]
    assert [point_id(t) for t in study.trials[:3]] == [f"expert-{name}" for name in NAMES]
    for trial in study.trials[3:8]:
        coefficients, preference = (
            trial.user_attrs["coefficients"],
            np.array(list(trial.user_attrs["weights"].values())),
        )
        assert max(coefficients.values()) == pytest.approx(1)
        reward = sum(c * np.array([0.8 if n in name else 0.1 for n in NAMES]) for name, c in coefficients.items())
        assert reward / reward.sum() == pytest.approx(preference)
    # A corner can only be reached by taking something of the others away.
    assert min(study.trials[3].user_attrs["coefficients"].values()) < 0


def test_explain_tells_gains_of_untried_weights_with_their_starts(recipe, new_study):
    study = new_study()
    the_recipe = adaptive(recipe)
    assert explain(the_recipe, study.trials) == []
    go_on(the_recipe, study, World(lift=0.6), limit=8)
    outlooks = explain(the_recipe, study.trials)
    assert len(outlooks) == 12
    margins = [o.gain - o.uncertainty for o in outlooks]
    assert margins == sorted(margins, reverse=True)
    best = max(outlooks, key=lambda o: o.gain)
    asked = make(the_recipe, study).ask()
    assert tuple(asked.user_attrs["weights"].values()) == best.weights
    assert asked.user_attrs["start"] == best.start


def test_a_recipe_without_a_method_starts_from_experts():
    assert Driver.model_validate({"family": "adaptive"}).method == "experts"
    assert Driver.model_validate({"family": "lattice"}).method == "das-dennis"
    assert Driver.model_validate({"family": "adaptive", "method": "backbone"}).method == "backbone"


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        ({"method": "backbones"}, "driver.method: adaptive has no 'backbones'; did you mean 'backbone'?"),
        ({"options": {"look": 3}}, "driver.options: experts has no option 'look'; did you mean 'looks'?"),
        ({"options": {"beta": 0.7}}, "driver.options: experts has no option 'beta'"),
        ({"options": {"looks": -1}}, "driver.options.looks: -1 is not a whole number of at least 0"),
        ({"options": {"scale": 0}}, "driver.options.scale: 0 is not a number above 0"),
        ({"options": {"scale": float("inf")}}, "driver.options.scale: inf is not a number above 0"),
        ({"method": "backbone", "options": {"beta": 0.3}}, "beta: 0.3 is not a number above 0.333 and at most 1"),
        ({"method": "backbone", "options": {"beta": "much"}}, "beta: 'much' is not a number"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(recipe, new_study, driver, message):
    with pytest.raises(ParetoError) as error:
        make(recipe({"family": "adaptive"} | driver), new_study())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_training_from_the_base_is_refused(recipe, new_study):
    with pytest.raises(ParetoError, match=r"training\.start: .* must be 'soup'"):
        make(recipe({"family": "adaptive"}, training={"start": "base"}), new_study())
