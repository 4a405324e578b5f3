"""The bench of reward models on a small ground: the tiny model's answers, learnt from a handful of labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from forge import ROOT

from pareto.bench.rewards.bench import bench_rewards
from pareto.bench.rewards.cost import cost
from pareto.bench.rewards.dpo import optimise
from pareto.bench.rewards.lab import Lab, likes_length
from pareto.bench.rewards.labels import frozen_or_refitted
from pareto.bench.rewards.picture import rewards_picture
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A recipe of a few prompts."""
    tree = yaml.safe_load((ROOT / "sweeps" / "rewards.yaml").read_text())
    tree["model"] = {"base": "tiny-random", "dtype": "float32"}
    tree["prompts"]["max_tokens"] = 400
    people, provocations = tree["prompts"]["sources"]
    people["take"] = {"train": 24, "validation": 10, "test": 4}
    provocations["take"] = {"train": 0, "validation": 0, "test": 4}
    tree["sampling"]["max_new_tokens"] = 12
    tree["training"] = {"steps": 2, "batch_size": 4, "sft_weight": 0.0, "lora": {"rank": 4, "alpha": 8, "layers": 1}}
    tree["rounds"] = {"ensemble": {"members": 2, "steps": 20, "weight_decay": 1.0}}
    tree["objectives"][0]["reward"] = "sweeps.rewards:vowels"
    folder = tmp_path_factory.mktemp("rewards")
    (folder / "rewards.yaml").write_text(yaml.safe_dump(tree))
    return folder


@pytest.fixture(scope="module")
def lab(ground):
    return Lab(read_recipe(ground / "rewards.yaml"), ground / "bench-rewards", lambda line: None)


def test_the_figures_are_what_the_rows_say(ground):
    found = bench_rewards(ground / "rewards.yaml", ["best-of", "trust"], [0], ground, lambda line: None)
    json.dumps(found)
    assert len(found["best-of"]["noisy, decay chosen"]) == len(found["best-of"]["noisy"])
    single = [r for r in found["best-of"]["noisy"] if r["selected_by"] == "single"]
    assert {r["head"] for r in single} == {"linear"}
    gold = [r["gold"] for r in single]
    at = int(np.argmax([r["proxy"] for r in single]))
    assert found["figures"]["best_of_lost_noisy_single"] == pytest.approx(max(gold) - gold[at])
    assert single[0]["n"] == 1
    by = {(r["head"], r["selected_by"]) for r in found["best-of"]["biased alike"]}
    assert by == {
        ("linear", "single"),
        *((head, way) for head in ("linear", "mixed") for way in ("mean", "min", "lcb")),
    }
    assert found["figures"]["ece"] == found["trust"]["in_distribution"]["calibration_error"]
    rewards_picture(found, ground / "picture.png")
    assert (ground / "picture.png").read_bytes().startswith(b"\x89PNG")
    again = bench_rewards(ground / "rewards.yaml", ["best-of"], [0], ground, lambda line: None)
    assert again["best-of"] == found["best-of"]


def test_labels_are_wrong_as_often_as_asked_and_a_shared_bias_is_in_all_of_them(lab):
    train = lab.pool("train")
    rows, gold = lab.draw_pairs(train, 400, 0), lab.gold(train)
    right = {(p.prompt, p.chosen, p.rejected) for p in lab.label(train, rows, gold, 0.0, 0)}
    noisy = lab.label(train, rows, gold, 0.25, 0)
    settled = [p for p in noisy if p.target == 1]
    assert np.mean([(p.prompt, p.chosen, p.rejected) not in right for p in settled]) == pytest.approx(0.25, abs=0.07)
    liked = likes_length(train, gold)
    words = np.array([len(r.text.split()) for r in train])
    assert np.corrcoef(liked - gold, words)[0, 1] == pytest.approx(1)


def test_dpo_against_a_proxy_goes_away_from_the_base_and_is_found_again(lab):
    proxy = lambda answers: np.array([float(r.text.count("e")) for r in answers])  # noqa: E731
    made = optimise(lab, {"proxy": "e"}, proxy, seed=0, turns=1)
    assert np.abs(made.kl[0]).max() < 1e-4
    assert np.abs(made.kl[1]).max() > 0.01
    assert len(made.answers) == 2
    again = optimise(lab, {"proxy": "e"}, lambda answers: pytest.fail("asked again"), seed=0, turns=1)
    assert again.answers == made.answers


def test_cost_is_told_for_five_of_a_kind_and_for_several_kinds(lab):
    found = cost(lab, lab.recipe.rounds.ensemble.model_copy(update={"head": ("linear", "encoder")}), repeats=1)
    assert found["train_ratio"]["one"] == found["score_ratio"]["one"] == 1
    assert {*found["train_ratio"]} == {*found["score_seconds"]} == {"one", "several", "mixed"}
    assert min(found["train_seconds"].values()) > 0


def test_an_unknown_part_is_named(ground):
    with pytest.raises(ParetoError, match="did you mean 'trust'"):
        bench_rewards(ground / "rewards.yaml", ["thrust"], [0], ground, print)


def test_reward_models_that_are_refitted_are_compared_on_the_current_policys_own_pairs(lab):
    train, held_out = lab.pool("train"), lab.pool("held_out")
    settings = lab.recipe.rounds.ensemble.model_copy(update={"members": 8})
    found = frozen_or_refitted(lab, settings, 0.0, [0, 1], train, held_out)
    assert {name: len(of) for name, of in found.items()} == {"frozen": 2, "more": 2, "refitted": 2}
    assert all(0 <= x <= 1 for of in found.values() for x in of)
