"""``pareto bench methods``: each method does what its paper says, and the judge sees no difference where none is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forge import Forge, smoke_recipe

from pareto.bench.methods import bone_soup, controls, modpo, morlhf, ours, rewarded_soups
from pareto.bench.methods import lab as shared
from pareto.bench.methods.compare import ratio
from pareto.bench.methods.lab import Lab
from pareto.bench.methods.mod import draw_mixed, mod
from pareto.bench.methods.report import methods_table
from pareto.config import Sampling
from pareto.models import Base
from pareto.recipe_file import read_recipe
from pareto.rollouts.sampling import Request, draw
from pareto.store.files import read_json
from pareto.store.run import Run
from pareto.sweep import sweep
from pareto.watch import Silent
from pareto.workbench import Workbench

pytestmark = pytest.mark.slow
ADAPTIVE = {"family": "adaptive", "method": "experts", "trials": 3, "options": {"looks": 3, "n_partitions": 4}}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A finished adaptive sweep of the smoke recipe (two objectives: five preferences)."""
    folder = tmp_path_factory.mktemp("methods")
    recipe = read_recipe(smoke_recipe(folder, name="lab", driver=ADAPTIVE, soups={"count": 0}))
    sweep(recipe, folder, None, Silent())
    return Lab(Workbench.open(Run.open("lab", folder), Silent()))


def test_rewarded_soups_take_the_weights_as_coefficients(lab: Lab) -> None:
    found = rewarded_soups.exact(lab)
    assert [tuple(e.coefficients.get(n, 0.0) for n in lab.experts) for e in found.entries] == lab.lattice
    assert len(lab.lattice) == 5


def test_rewarded_soups_as_published_average_a_and_b_apart(lab: Lab) -> None:
    rewarded_soups.published(lab)
    own = [lab.bench.bank.update({f"own-expert-{n}": 1.0}) for n in lab.bench.recipe.names]
    a, b = lab.bench.bank.update({"averaged-0.5-0.5": 1.0})
    for module, (a1, b1), (a2, b2) in ((k, *[(x[k], y[k]) for x, y in own]) for k in own[0][0]):
        averaged = ((b1 + b2) / 2) @ ((a1 + a2) / 2)
        torch.testing.assert_close(b[module] @ a[module], averaged)
        assert not torch.equal(a1, a2), "both factors are trained"
        assert (averaged - (b1 @ a1 + b2 @ a2) / 2).norm() > 0, "which is not the average of the updates"


def test_morlhf_trains_an_adapter_for_each_weight_and_the_corners_are_the_experts(lab: Lab) -> None:
    found = morlhf.morlhf(lab)
    used = [next(iter(e.coefficients)) for e in found.entries]
    assert len(set(used)) == 5
    assert set(lab.experts) < set(used)
    assert found.steps == 5 * lab.bench.recipe.training.steps


def test_bone_soup_coefficients_bring_the_mixed_rewards_back_to_the_preference(lab: Lab) -> None:
    found = bone_soup.bone_soup(lab)
    made = [
        read_json(lab.bench.run.adapters / lab.bench.meter.keys[f"backbone-{n}"] / "pareto.json")
        for n in lab.bench.recipe.names
    ]
    mixing = np.array([list(x["weights"].values()) for x in made])
    np.testing.assert_allclose(mixing, [[0.7, 0.3], [0.3, 0.7]])
    for entry in found.entries:
        λ = np.array([entry.coefficients.get(f"backbone-{n}", 0.0) for n in lab.bench.recipe.names])
        np.testing.assert_allclose(λ @ mixing, entry.weights, atol=1e-12)
    assert min(min(e.coefficients.values()) for e in found.entries) < 0, "at a corner it leaves the simplex"


def test_modpo_starts_at_the_loss_of_its_paper(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first step Δ = 0, so the loss is the mean of −log σ(−m / w) over the batch."""
    seen: list[tuple[list[float], float, list[dict[str, float]]]] = []
    rows, train = shared.rows, shared.train_dpo

    def spy_rows(ids: Any, pool: Any, comparisons: Any, handicaps: Any) -> Any:
        ground = lab.bench.ground
        other = ground.scores[[c.chosen for c in comparisons], 1] - ground.scores[[c.rejected for c in comparisons], 1]
        np.testing.assert_allclose(np.array(handicaps) * lab.bench.recipe.training.beta, 0.25 * np.nan_to_num(other))
        seen.append((list(handicaps), 0.0, []))
        return rows(ids, pool, comparisons[:1], handicaps[:1])

    def spy_train(base: Any, training: Any, *args: Any, **kwargs: Any) -> Any:
        training = training.model_copy(update={"sft_weight": 0.0, "batch_size": 1})
        a, b, log = train(base, training, *args, **kwargs | {"steps": 1})
        seen.append(([], training.beta, log))
        return a, b, log

    monkeypatch.setattr(shared, "rows", spy_rows)
    monkeypatch.setattr(shared, "train_dpo", spy_train)
    modpo._adapter(lab, (0.75, 0.25))
    handicap, (_, beta, log) = seen[0][0][0], seen[1]
    margin = handicap * lab.bench.recipe.training.beta
    assert beta == pytest.approx(lab.bench.recipe.training.beta / 0.75)
    assert log[0]["loss"] == pytest.approx(math.log1p(math.exp(margin / 0.75)), rel=1e-3)


def test_mod_with_equal_experts_is_the_expert(tiny: Base) -> None:
    requests = [Request(tuple(tiny.prompt_ids(text)), seed) for seed, text in enumerate(("a", "bcd", "ef", "a"))]
    sampling = Sampling(max_new_tokens=9, temperature=1.0, top_p=1.0)
    alone = draw(tiny, requests, sampling)
    mixed = draw_mixed([(0.25, tiny), (0.75, tiny)], requests, sampling)
    assert [d.token_ids for d in mixed] == [d.token_ids for d in alone]
    assert [d.logp for d in mixed] == pytest.approx([d.logp for d in alone], abs=1e-4)


def test_mod_runs_every_expert_that_has_weight(lab: Lab) -> None:
    found = mod(lab)
    assert found.passes == 2
    tables = [e.table("validation") for e in found.entries]
    assert len(set(tables)) == len(lab.coarse) == 4
    soups = rewarded_soups.exact(lab).entries
    alone = {e.weights: e.table("validation") for e in soups if e.weights and max(e.weights) == 1}
    assert alone.items() <= {e.weights: t for e, t in zip(found.entries, tables, strict=True)}.items()
    assert not lab.bench.bank.merged, "the live model is the base again"


def test_the_map_is_what_was_looked_at_and_adaptive_adds_what_was_trained(lab: Lab) -> None:
    looked, both = ours.searched(lab), ours.adaptive(lab)
    assert len(looked.entries) == 2 + 3
    trained = [p for p in lab.points() if p.kind == "trained"]
    assert len(both.entries) - len(looked.entries) >= len(trained) > 0
    assert both.steps == looked.steps + len(trained) * lab.bench.recipe.training.steps_from_soup


def test_the_random_control_stays_in_the_box_and_has_as_many_policies(lab: Lab) -> None:
    found = controls.random_box(lab, 7, 1.5)
    assert len(found.entries) == 7
    assert all(0 <= v <= 1.5 for e in found.entries for v in e.coefficients.values())


def row(values: list[float]) -> dict[str, Any]:
    return {"hypervolume": {"value": float(np.mean(values))}, "draws": values}


def test_a_method_is_exactly_as_good_as_itself() -> None:
    rows = [row([1.0, 2.0, 3.0]), row([2.0, 2.5, 9.0])]
    found = ratio(rows, rows)
    assert (found.low, found.value, found.high) == (1, 1, 1)


def test_the_interval_of_a_ratio_holds_the_truth_for_paired_draws() -> None:
    """Twice the other's hypervolume in every draw is twice, however wide the draws are."""
    theirs = np.random.default_rng(0).lognormal(size=1000)
    found = ratio([row((2 * theirs).tolist())], [row(theirs.tolist())])
    assert (found.low, found.value, found.high) == pytest.approx((2, 2, 2))


def test_the_command_compares_methods(forge: Forge, tmp_path: Path) -> None:
    recipe = smoke_recipe(tmp_path, name="tiny-methods", driver=ADAPTIVE, soups={"count": 0})
    out, plot = tmp_path / "methods.json", tmp_path / "methods.png"
    words = ("bench", "methods", "--recipe", recipe, "--root", tmp_path / "runs", "--workers", "2")
    some = ("--methods", "map,rewarded_soups_exact,morlhf")  # each is looked at above
    result = forge.run(*words, *some, "--seeds", "0", "--out", out, "--plot", plot, "--json").json()
    wanted = {"map_vs_rewarded_soups_exact", "map_vs_morlhf"}
    assert wanted | {"training_share_of_morlhf"} <= set(result["figures"])
    assert all(math.isfinite(v) for v in result["figures"].values())
    assert read_json(out)["figures"] == result["figures"]
    assert plot.stat().st_size > 10_000
    table = methods_table(result)
    assert all(row["method"] in table for row in result["rows"])
    for name, (low, high) in result["intervals"].items():
        assert low <= result["figures"][name] <= high


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "0,x"), "--seeds 0,x: whole numbers"),
        (("--out", "x.txt"), "--out x.txt: the file must end in .json"),
        (("--plot", "no/such/x.png"), "--plot no/such/x.png: no folder no/such"),
        (("--recipe", "sweeps/smoke.yaml"), "needs adaptive"),
        (("--methods", "map,molhf"), "--methods: no 'molhf'; did you mean 'morlhf'?"),
    ],
)
def test_bad_input_is_told_in_one_line(words: tuple[str, str], said: str, forge: Forge) -> None:
    assert said in forge.run("bench", "methods", *words).line()
