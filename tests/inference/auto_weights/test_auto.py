"""Weights for a prompt: what is learned of types, when it declines, and the priorities that stand above."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import prompted_runs as runs
import pytest

from pareto.choice.levels import parse_levels
from pareto.choice.standing import keep
from pareto.errors import ParetoError
from pareto.frontier import per_prompt
from pareto.inference.auto_weights.auto import AutoWeights
from pareto.inference.auto_weights.evaluation import evaluate
from pareto.inference.auto_weights.kept import FILE, load
from pareto.inference.auto_weights.learning import fit, learn
from pareto.inference.auto_weights.stated import Stated
from pareto.inference.policy import asked_point
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_prompts

ASKED = {
    "greetings": "Hello Zoe, feeling wet?",
    "recipes": "How to bake plums with salt?",
    "sums": "What is 800 plus 1?",
}


@pytest.fixture
def learned(tmp_path: Path) -> Run:
    run = runs.make(tmp_path)
    learn(run, runs.UTILITY, ["ridge"], runs.embed)
    return run


def test_each_type_gets_its_own_weights_on_the_simplex(learned: Run) -> None:
    auto = AutoWeights.open(learned, runs.embed)
    found = {kind: auto.take(text) for kind, text in ASKED.items()}
    weights = {kind: a.point.weights or {} for kind, a in found.items()}
    # A gate whose outputs were all equal and did not sum to one went unnoticed elsewhere.
    assert len({tuple(w.values()) for w in weights.values()}) == 3
    assert all(sum(w.values()) == pytest.approx(1) and min(w.values()) >= 0 for w in weights.values())
    assert weights["greetings"]["warm"] == 1.0
    assert weights["sums"]["short"] == 1.0
    assert weights["recipes"]["kind"] >= 0.5
    for kind, a in found.items():
        assert not a.declined
        assert next(iter(a.types)) == kind
        assert [n.source for n in a.nearest] == [kind] * 3
        assert f"10 {kind}" in a.reason
    assert found["greetings"].gain > 0
    assert found["greetings"].to_json()["weights"] == weights["greetings"]


def test_it_beats_the_best_fixed_weights_and_shuffled_prompts_teach_nothing(learned: Run) -> None:
    told = evaluate(learned, shuffles=3, kinds=["ridge"], embed=runs.embed)
    assert told["prompts"] == 60
    assert told["gain"]["low"] > 0
    assert told["fixed"] < told["auto"] <= told["oracle"]
    assert told["auto"] == pytest.approx(told["by_type"], abs=0.15)
    assert told["declined"] < 0.2
    assert abs(told["control"]["gain"]) < 0.05
    assert told["control"]["declined"] > 0.5
    assert told["oracle_gain"]["value"] == pytest.approx(told["oracle"] - told["fixed"])
    per_type = told["types"].values()
    assert sum(t["gain"] * t["prompts"] for t in per_type) == pytest.approx(60 * told["gain"]["value"])


def test_the_comparison_is_that_of_the_scores_on_test(learned: Run) -> None:
    auto = AutoWeights.open(learned, runs.embed)
    wanted = {"greetings": [0, 0, 1], "recipes": [0.8, 0.2, 0], "sums": [0, 1, 0]}
    points = {p.id: per_prompt(learned, p) for p in load_points(learned) if p.split == "test"}
    prompts = [p for p in read_prompts(learned.path / "prompts.parquet") if p.split == "test"]
    values = []
    for i, p in enumerate(prompts):
        z = (points[auto.take(p.text).point.id][i] - np.array(runs.CENTRE)) / np.array(runs.SCALE)
        values.append(float(z @ np.array(wanted[p.source])))
    assert evaluate(learned, embed=runs.embed)["auto"] == pytest.approx(np.mean(values))


@pytest.mark.parametrize("seed", range(4))
def test_where_no_policy_is_better_for_any_type_it_is_never_worse_than_fixed(tmp_path: Path, seed: int) -> None:
    run = runs.make(tmp_path, effect=0.0, seed=seed)
    learn(run, runs.UTILITY, ["ridge"], runs.embed)
    told = evaluate(run, embed=runs.embed)
    assert told["gain"]["high"] >= 0
    auto = AutoWeights.open(run, runs.embed).take(ASKED["sums"])
    if auto.declined:
        assert auto.reason.startswith("declined, the best fixed weights: on prompts held out")


def test_a_prompt_unlike_all_others_gets_the_fixed_weights(learned: Run) -> None:
    auto = AutoWeights.open(learned, runs.embed)
    found = auto.take("Completely other text")
    assert found.declined
    assert found.point.id == auto.kept.learned.ids[auto.rule.default]
    assert "unlike the prompts that were learned from" in found.reason


def test_prompts_of_the_kinds_learned_from_are_seldom_strange(learned: Run) -> None:
    familiar = AutoWeights.open(learned, runs.embed).kept.learned.familiar
    fresh = [runs.LINES["recipes"].format(f"word{k}", f"thing{k}") for k in range(300)]
    assert familiar.strange(runs.embed(fresh)).mean() <= 0.12


def test_priorities_stand_above(learned: Run) -> None:
    means = {p.id: p.mean["kind"] for p in load_points(learned) if p.split == "validation" and p.kind != "base"}
    before = AutoWeights.open(learned, runs.embed).take(ASKED["greetings"])
    keep(learned, parse_levels("kind>=0.7@mean", learned.recipe.names))
    after = AutoWeights.open(learned, runs.embed)
    assert means[before.point.id] < 0.7
    for text in [*ASKED.values(), "Completely other text"]:
        assert means[after.take(text).point.id] >= 0.7
    assert after.take(ASKED["greetings"]).barred == before.point.id
    assert f"{before.point.id} would be taken, but breaks a priority" in after.take(ASKED["greetings"]).reason
    assert (after.take(ASKED["greetings"]).point.weights or {})["warm"] == 0.5
    keep(learned, parse_levels("kind>=99@mean", learned.recipe.names))
    with pytest.raises(ParetoError, match="no feasible policy"):
        AutoWeights.open(learned, runs.embed).take(ASKED["greetings"])


def test_an_empty_prompt_and_no_prompt_are_refused(learned: Run) -> None:
    with pytest.raises(ParetoError, match="the prompt is empty"):
        AutoWeights.open(learned, runs.embed).take(" \n")
    with pytest.raises(ParetoError, match="weights auto: they depend on the prompt, and here is none"):
        asked_point(learned, "auto", None)


def test_what_is_kept_is_read_back_as_it_was(learned: Run) -> None:
    fresh = fit(learned, Stated.read(learned, runs.UTILITY), ["ridge"], runs.embed)
    read = load(learned)
    assert read.stated == fresh.stated
    assert read.learned.rule().threshold == fresh.learned.rule().threshold
    x = runs.embed(list(ASKED.values()))
    assert np.array_equal(read.learned.ensemble.predict(x), fresh.learned.ensemble.predict(x))
    assert (learned.path / FILE).stat().st_size < 300_000


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def edit(data: bytes) -> bytes:
    assert b"greetings" in data
    return data.replace(b"greetings", b"greetingz")


@pytest.mark.parametrize("damage", [cut, flip, edit, lambda data: b"", lambda data: b"\xff" * 40])
def test_a_damaged_file_is_told(learned: Run, damage: Callable[[bytes], bytes]) -> None:
    file = learned.path / FILE
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ParetoError, match=r"auto_weights.safetensors: damaged; learn the weights again with: pareto"):
        load(learned)


def test_other_policies_since_are_refused(learned: Run) -> None:
    (learned.points / "soup-0.validation.json").unlink()
    with pytest.raises(ParetoError, match="learned from other policies than run 'prompted' has now"):
        load(learned)


def test_a_run_without_learned_weights_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ParetoError, match="no learned weights yet; learn them with: pareto weights learn prompted"):
        load(runs.make(tmp_path, each=2))


def test_too_few_prompts_are_refused(tmp_path: Path) -> None:
    run = runs.make(tmp_path, each=4)
    with pytest.raises(ParetoError, match="12 prompts with a utility cannot be learned from; at least 20"):
        learn(run, runs.UTILITY, ["ridge"], runs.embed)
    assert not (run.path / FILE).exists()


def test_policies_that_are_not_on_test_are_left_out_of_the_comparison(learned: Run) -> None:
    (learned.points / "soup-0.test.json").unlink()
    told = evaluate(learned, embed=runs.embed)
    assert told["policies"] == 5
    assert np.isfinite([told["auto"], told["fixed"], told["oracle"]]).all()
