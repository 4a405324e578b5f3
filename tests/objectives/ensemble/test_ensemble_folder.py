"""Opening, scoring with and exporting what training wrote."""

import json
import shutil

import numpy as np
import pytest
import torch

from pareto.config import Ensemble as Settings
from pareto.config import Model, Objective
from pareto.errors import ParetoError
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.objectives.ensemble.export import export_member
from pareto.objectives.load import load_reward
from pareto.records import Pair
from pareto.store.files import sha256_file
from pareto.training.rewards.train import train_ensemble

TINY = Model(base="tiny-random", dtype="float32", device="cpu")
PAIRS = [Pair(f"Say {i}.", f"yes {i % 7} {j}", f"no {i % 5} {j}") for i in range(24) for j in range(2)]
PROMPTS, TEXTS = ["Say 3.", "What?", "Say 9."], ["yes 1 1", "no", "perhaps " * 9]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two linear heads on the last token's features and a LoRA member."""
    home = tmp_path_factory.mktemp("ensembles")
    settings = Settings(
        members=3, head=("linear", "linear", "lora"), pooling="last", steps=20, learning_rate=0.01, aggregate="mean"
    )
    return train_ensemble("kind", PAIRS, settings, TINY, home / "kind", cache=home / "cache")


def exported_scores(folder):
    """By transformers alone, as the folder's README says."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for prompt, answer in zip(PROMPTS, TEXTS, strict=True):
        messages = [{"role": "system", "content": ""}, {"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        rows.append([*ids, *tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id])
    batch = tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")
    with torch.no_grad():
        return model(**batch).logits[:, 0].numpy()


@pytest.mark.parametrize("i", [0, 1, 2])
def test_an_exported_member_gives_the_same_score(made, tmp_path, i):
    export_member(made, i, tmp_path / "out")
    raw = made.raw(PROMPTS, TEXTS)[:, i]
    np.testing.assert_allclose(exported_scores(tmp_path / "out"), raw, rtol=1e-3, atol=1e-4)
    about = json.loads((tmp_path / "out" / "pareto.json").read_text())
    calibrated = (raw - about["centre"]) / about["scale"]
    np.testing.assert_allclose(made.score(PROMPTS, TEXTS).members[:, i], calibrated)


def test_a_head_on_middle_features_says_why_it_cannot_leave(tmp_path):
    middle = train_ensemble("kind", PAIRS, Settings(members=2, steps=5), TINY, tmp_path / "m", cache=tmp_path)
    with pytest.raises(ParetoError, match="cannot leave as a sequence classifier: only LoRA members and linear heads"):
        export_member(middle, 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_ensemble_opened_again_scores_the_same(made):
    again = Ensemble.open(made.path)
    np.testing.assert_allclose(again.score(PROMPTS, TEXTS).members, made.score(PROMPTS, TEXTS).members, atol=1e-6)
    assert again.fingerprint == made.fingerprint
    scores = again.score(PROMPTS, TEXTS)
    np.testing.assert_array_equal(again.reward(scores), scores.members.mean(axis=1))
    np.testing.assert_array_equal(again.reward(scores, "min"), scores.members.min(axis=1))


def resealed(path, change):
    """A copy's ``ensemble.json`` changed, and its seal put right."""
    info = json.loads((path / "ensemble.json").read_text())
    change(info)
    (path / "ensemble.json").write_text(json.dumps(info))
    seal = json.loads((path / "artefact.json").read_text())
    seal["files"]["ensemble.json"] = sha256_file(path / "ensemble.json")
    (path / "artefact.json").write_text(json.dumps(seal))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda i: i.update(template="x"), "another chat template than tiny-random has now"),
        (lambda i: i.update(base_fingerprint="x"), "another state of tiny-random"),
        (lambda i: i.update(schema=99), "written by a newer pareto"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_opened(made, tmp_path, change, why):
    copy = tmp_path / made.path.name
    shutil.copytree(made.path, copy)
    resealed(copy, change)
    with pytest.raises(ParetoError, match=why):
        Ensemble.open(copy)


def test_a_damaged_folder_and_one_that_is_none_are_refused(made, tmp_path):
    copy = tmp_path / made.path.name
    shutil.copytree(made.path, copy)
    heads = copy / "heads-linear.safetensors"
    heads.write_bytes(heads.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ParetoError, match="damaged or edited"):
        Ensemble.open(copy)
    for edited in ("{}", "[]"):
        (copy / "ensemble.json").write_text(edited)
        with pytest.raises(ParetoError, match="damaged or edited"):
            Ensemble.open(copy)
    with pytest.raises(ParetoError, match="not an ensemble of reward models"):
        Ensemble.open(tmp_path)


def test_as_a_reward_it_is_found_beside_the_run_and_keeps_what_it_doubts(made, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    objective = Objective(name="kind", reward=f"ensemble:../{made.path.name}", options={"aggregate": "lcb", "k": 2})
    run = made.path.parent / "run"
    run.mkdir()
    reward = load_reward(objective, run)
    threshold = reward.function.ensemble.calibration.spread_threshold
    prompts = [f"Say {i}." for i in range(40)]
    texts = ["yes " * (i % 4) + "what? " * (i % 3) + str(i) for i in range(40)]
    found = reward.function(prompts=prompts, completions=texts)
    members = made.score(prompts, texts).members
    spread = members.std(axis=1, ddof=1)
    doubted = spread > threshold
    assert 0 < doubted.sum() < 40
    lcb = members.mean(axis=1) - 2 * spread
    np.testing.assert_allclose(found, np.where(doubted, members.min(axis=1), lcb), atol=1e-6)
    assert [f.completion for f in reward.function.flagged] == [t for t, d in zip(texts, doubted, strict=True) if d]
    assert (reward.name, reward.sign, reward.function.__name__) == ("kind", 1, "kind")
    with pytest.raises(ParetoError, match=r"objective 'kind': .*not an ensemble"):
        load_reward(objective)


@pytest.mark.parametrize(
    ("options", "why"),
    [({"aggregate": "median"}, "'median'"), ({"k": -1}, "number of 0 or more"), ({"kk": 1}, "no option 'kk'")],
)
def test_options_that_are_none_are_refused(made, options, why):
    with pytest.raises(ParetoError, match=why):
        load_reward(Objective(name="kind", reward=f"ensemble:{made.path}", options=options))
