from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pareto.config import Ensemble as Settings
from pareto.config import Model
from pareto.errors import ParetoError
from pareto.objectives.ensemble import feature_cache
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.objectives.ensemble.export import export_member
from pareto.records import Pair
from pareto.training.rewards import members
from pareto.training.rewards.train import train_ensemble

TINY = Model(base="tiny-random", dtype="float32", device="cpu")
QUICK = Settings(members=3, steps=60)


def tensors(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.safetensors")}


def test_an_ensemble_prefers_what_the_labels_prefer(yes_pairs, tmp_path):
    told = []
    made = train_ensemble(
        "kind", yes_pairs, QUICK, TINY, tmp_path / "out", cache=tmp_path, progress=lambda *a: told.append(a)
    )
    assert (made.objective, made.size, made.path) == ("kind", 3, tmp_path / "out")
    assert made.report["in_distribution"]["accuracy"]["value"] > 0.9
    assert made.info["prompts"] == {"training": 30, "calibration": 5, "test": 5}
    found = made.compare(["Say number 99."] * 2, ["yes please", "no"], ["no please", "yes"])
    assert found.probability[0] > 0.6 > 0.4 > found.probability[1]
    assert {what for what, _, _ in told} >= {"features", "linear heads", "held-out comparisons"}
    assert all(0 <= done <= total for _, done, total in told)


@pytest.fixture(scope="module")
def made_once(yes_pairs, tmp_path_factory):
    """A folder with the ensemble ``out`` that no test changes."""
    home = tmp_path_factory.mktemp("once")
    train_ensemble("kind", yes_pairs, QUICK, TINY, home / "out", cache=home)
    return home


def test_the_same_command_finds_what_is_made_and_another_refuses(yes_pairs, tmp_path, monkeypatch):
    first = train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / "out", cache=tmp_path)
    monkeypatch.setattr(members, "train_heads", None)  # nothing is trained again
    again = train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / "out", cache=tmp_path)
    assert again.fingerprint == first.fingerprint
    with pytest.raises(ParetoError, match=r"holds another ensemble \(other comparisons\); name another"):
        train_ensemble("kind", yes_pairs[3:], QUICK, TINY, tmp_path / "out", cache=tmp_path)
    assert Ensemble.open(tmp_path / "out").info == first.info


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"settings": QUICK.model_copy(update={"members": 4})}, r"members: 3, asked for 4"),
        ({"settings": QUICK.model_copy(update={"head": ("linear", "mlp")})}, r"head: linear, asked for linear, mlp"),
        ({"seed": 2, "objective": "other"}, r"objective: kind, asked for other; seed: 0, asked for 2"),
        ({"shifted": [Pair("Elsewhere?", "yes", "no")]}, r"other shifted comparisons"),
    ],
)
def test_what_differs_from_the_ensemble_that_is_there_is_told(yes_pairs, made_once, changed, says):
    asked = {"objective": "kind", "pairs": yes_pairs, "settings": QUICK, "model": TINY} | changed
    with pytest.raises(ParetoError, match=rf"out: holds another ensemble \({says}\); name another folder$"):
        train_ensemble(**asked, out=made_once / "out", cache=made_once)


def nothing_is_trained(*_):
    raise AssertionError


@pytest.mark.parametrize(
    ("out", "cache", "says"),
    [
        ("file", "cache", "file: exists and holds something else; name a folder that is not there yet"),
        ("full", "cache", "full: exists and holds something else"),
        ("file/x", "cache", "file: no folder that can be written to"),
        ("/proc/none/x", "cache", "/proc/none: no folder that can be written to"),
        ("out", "file", "file: no folder that can be written to"),
    ],
)
def test_places_that_cannot_be_written_are_found_before_the_training(
    yes_pairs, tmp_path, monkeypatch, out, cache, says
):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    monkeypatch.setattr(members, "train_heads", nothing_is_trained)
    with pytest.raises(ParetoError, match=says):
        train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / out, cache=tmp_path / cache)


def test_an_empty_folder_is_filled(yes_pairs, tmp_path):
    (tmp_path / "out").mkdir()
    made = train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / "out", cache=tmp_path / "cache")
    assert made.size == 3


def test_shifted_comparisons_that_were_trained_or_calibrated_on_are_left_out(yes_pairs, tmp_path, monkeypatch):
    said = []
    new = [replace(p, prompt=f"Elsewhere: {p.prompt}") for p in yes_pairs[:6]]
    shifted = [*new, *yes_pairs]
    made = train_ensemble(
        "kind", yes_pairs, QUICK, TINY, tmp_path / "out", cache=tmp_path, shifted=shifted, note=said.append
    )
    # Of 40 prompts with three each, 5 are only reported on.
    assert made.report["shifted"]["pairs"] == 6 + 5 * 3
    (line,) = said
    assert line.startswith("shifted: 105 of 126 comparisons are of prompts")
    again, _ = Ensemble.open(tmp_path / "out").unseen(shifted, "these")
    assert len(again) == 21
    monkeypatch.setattr(members, "train_heads", nothing_is_trained)
    trained = [p for p in yes_pairs if p not in again]
    with pytest.raises(ParetoError, match=r"shifted: 105 of 105 .*nothing to judge it by"):
        train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / "other", cache=tmp_path, shifted=trained)


def test_a_deleted_or_damaged_cache_gives_the_same_ensemble(yes_pairs, tmp_path):
    train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / "one", cache=tmp_path / "cache")
    feature_cache._kept.cache_clear()
    for file in (tmp_path / "cache").rglob("*.safetensors"):
        file.write_bytes(b"rubbish")
    train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / "two", cache=tmp_path / "cache")
    assert tensors(tmp_path / "one") == tensors(tmp_path / "two") != {}


def test_a_member_whose_loss_is_infinite_is_dropped_and_named(yes_pairs, tmp_path):
    # Too large for float32; a member whose bootstrap leaves that prompt out never meets it.
    pairs = [replace(yes_pairs[0], weight=1e39), *yes_pairs[1:]]
    said = []
    settings = Settings(members=8, steps=30)
    made = train_ensemble("kind", pairs, settings, TINY, tmp_path / "out", cache=tmp_path, note=said.append)
    dropped = made.info["dropped"]
    assert 0 < len(dropped) < 7
    assert made.size + len(dropped) == 8
    assert [f"{d['member']} dropped: {d['why']}" for d in dropped] == said
    assert all("NaN or infinite" in d["why"] for d in dropped)
    assert np.isfinite(made.score(["Say."], ["yes"]).members).all()


@pytest.mark.parametrize("members", [1, 2])
def test_fewer_than_two_left_of_several_or_none_of_one_is_refused(yes_pairs, tmp_path, members):
    settings = Settings(members=members, steps=5, head="mlp", learning_rate=1e30)
    left = rf"0 of {members} members are left \(member 0 \(mlp\): its loss is NaN or infinite"
    with pytest.raises(ParetoError, match=left):
        train_ensemble("kind", yes_pairs, settings, TINY, tmp_path / "out", cache=tmp_path)
    assert not (tmp_path / "out").exists()


def test_too_few_prompts_names_the_number_needed(yes_pairs, tmp_path):
    with pytest.raises(ParetoError, match=r"24 comparisons of 8 prompts, ties aside, are too few.*at least 12 prompts"):
        train_ensemble("kind", yes_pairs[:24], QUICK, TINY, tmp_path / "out", cache=tmp_path)


def test_a_chosen_one_that_is_the_rejected_is_refused(yes_pairs, tmp_path):
    with pytest.raises(ParetoError, match="comparison 120: chosen and rejected are the same text"):
        train_ensemble("kind", [*yes_pairs, Pair("a", "b", "b")], QUICK, TINY, tmp_path / "out", cache=tmp_path)


def test_members_of_several_architectures_score_beside_each_other(yes_pairs, tmp_path):
    settings = Settings(members=4, steps=60, head=("linear", "encoder", "mlp"))
    elsewhere = [replace(p, prompt=f"Elsewhere: {p.prompt}") for p in yes_pairs[:9]]
    made = train_ensemble("kind", yes_pairs, settings, TINY, tmp_path / "out", cache=tmp_path, shifted=elsewhere)
    assert [m["kind"] for m in made.info["members"]] == ["linear", "encoder", "mlp", "linear"]
    assert made.report["shifted"]["pairs"] == 9
    margins = made.compare(["Say number 1."], ["yes 3"], ["no 3"]).margins
    assert margins.shape == (1, 4)
    assert (margins > 0).all()


def test_a_killed_training_of_lora_members_goes_on_with_the_next(yes_pairs, tmp_path, monkeypatch):
    settings = Settings(members=2, steps=2, head="lora", learning_rate=0.01)
    arguments = ("kind", yes_pairs[:48], settings, TINY)
    whole = train_ensemble(*arguments, tmp_path / "whole", cache=tmp_path / "a")
    from pareto.training.rewards import lora

    train, trained = lora.train_lora, []

    def killed_at_the_second(base, pairs, seed, *rest):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(seed)
        train(base, pairs, seed, *rest)

    monkeypatch.setattr(lora, "train_lora", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        train_ensemble(*arguments, tmp_path / "killed", cache=tmp_path / "b")
    monkeypatch.setattr(lora, "train_lora", lambda *a: (trained.append(a[2]), train(*a)))
    train_ensemble(*arguments, tmp_path / "killed", cache=tmp_path / "b")
    assert trained == [m["seed"] for m in whole.info["members"]]
    assert tensors(tmp_path / "killed") == tensors(tmp_path / "whole")
    assert len(tensors(tmp_path / "whole")) == 2


def test_ties_train_heads_and_are_left_out_for_lora(yes_pairs, tmp_path):
    said = []
    pairs = [*yes_pairs[:48], Pair("Say number 0.", "maybe", "perhaps", target=0.5)]
    settings = Settings(members=2, steps=2, head=("linear", "lora"))
    train_ensemble("kind", pairs, settings, TINY, tmp_path / "out", cache=tmp_path, note=said.append)
    assert said == ["1 ties left out for LoRA members: TRL's RewardTrainer knows none"]


TEMPLATE = (
    "<|im_start|>system\n<|im_end|>\n{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>"
    "{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
)
"""What the member below was trained with, as a template of whole conversations."""


@pytest.fixture(scope="module")
def theirs(yes_pairs, tmp_path_factory):
    """Writes somebody else's classifier that prefers yes to no, its output times a factor."""
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("theirs")
    last = QUICK.model_copy(update={"pooling": "last"})
    made = train_ensemble("kind", yes_pairs, last, TINY, folder / "own", cache=folder)

    def write(factor):
        out = folder / str(factor)
        if out.exists():
            return str(out)
        export_member(made, 0, out)
        model = AutoModelForSequenceClassification.from_pretrained(out)
        with torch.no_grad():
            model.score.weight *= factor
        model.save_pretrained(out)
        (out / "chat_template.jinja").write_text(TEMPLATE)
        return str(out)

    return write


def test_a_foreign_member_counts_beside_the_trained_ones(yes_pairs, theirs, tmp_path):
    source = theirs(1.0)
    made = train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / "out", cache=tmp_path, seed=1, foreign=[source])
    assert [m["kind"] for m in made.info["members"]] == ["linear"] * 3 + ["foreign"]
    texts = ["yes", "no", "perhaps not"]
    own = Ensemble.open(Path(source).with_name("own")).raw(["Say."] * 3, texts)[:, 0]
    np.testing.assert_allclose(Ensemble.open(tmp_path / "out").raw(["Say."] * 3, texts)[:, 3], own, rtol=1e-3)


@pytest.mark.parametrize(
    ("factors", "why"),
    [
        ([-1.0], "is no model of 'kind', or its sign is turned"),
        ([1e4], "is mis-scaled"),
        ([1.0, 1.0], "are identical"),
        ([0.0], "its head is untrained"),
    ],
)
def test_a_foreign_member_that_is_silently_wrong_is_refused(yes_pairs, theirs, tmp_path, factors, why):
    sources = [theirs(factor) for factor in factors]
    with pytest.raises(ParetoError, match=why):
        train_ensemble("kind", yes_pairs, QUICK, TINY, tmp_path / "x", cache=tmp_path, seed=1, foreign=sources)
    assert not (tmp_path / "x").exists()


@pytest.mark.real_model
def test_on_the_real_model_short_answers_are_told_from_long_ones(tmp_path):
    words = ["Paris", "It is Paris", "I think that it is Paris, the large city in the north of France"]
    pairs = [
        Pair(f"Question {i}: what is the capital of France?", words[0], words[2] if i % 2 else words[1])
        for i in range(16)
    ]
    model = Model(base="smollm2-135m-instruct")
    made = train_ensemble("concise", pairs, Settings(members=5), model, tmp_path / "out", cache=tmp_path)
    found = made.compare(["Which city?"] * 2, ["Rome", "It is Rome"], ["I believe that it may well be Rome"] * 2)
    assert (found.probability > 0.5).all()
