"""Adapters from elsewhere: PEFT's own logits are the oracle, and each refusal gives its reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft_folders import IDS, elsewhere, fresh, logits_with, peft_logits
from safetensors.torch import load_file, save_file

from pareto.config import Lora
from pareto.errors import ParetoError
from pareto.soups.foreign import read_foreign

if TYPE_CHECKING:
    from pareto.models import Base

LORA = Lora(rank=4, alpha=6)
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def plain(tiny: Base, tmp_path: Path) -> Path:
    return elsewhere(tiny, tmp_path / "plain", r=3, lora_alpha=5, target_modules=["q_proj", "up_proj"])


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace, add or (``None``) drop tensors."""
    file = folder / "adapter_model.safetensors"
    state = load_file(file) | {f"{Q}.{name}" if name.startswith("lora") else name: v for name, v in changes.items()}
    save_file({k: v for k, v in state.items() if v is not None}, file)


def refused(folder: Path, base: Base) -> str:
    with pytest.raises(ParetoError) as e:
        read_foreign(folder, base, LORA)
    assert str(folder) in str(e.value)
    assert "\n" not in str(e.value)
    return str(e.value)


# -- exact -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "up_proj"]},
        {"r": 7, "lora_alpha": 1, "target_modules": "all-linear"},
        {"r": 5, "lora_alpha": 16, "target_modules": r".*layers\.1\.(mlp\.(up|down)|self_attn\.k)_proj"},
        {"r": 2, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "layers_to_transform": [1]},
        {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": ["q_proj", "v_proj", "down_proj"],
            "rank_pattern": {"q_proj": 1, "layers.1.mlp.down_proj": 9},
            "alpha_pattern": {"v_proj": 3, "^model.layers.0.self_attn.q_proj": 11},
        },
        {"r": 40, "lora_alpha": 20, "target_modules": ["k_proj"]},
        {"r": 5, "lora_alpha": 7, "target_modules": "all-linear", "use_rslora": True},
        {"r": 4, "lora_alpha": 6, "target_modules": ["o_proj"], "exclude_modules": ["model.layers.0.self_attn.o_proj"]},
        {"r": 6, "lora_alpha": 6, "target_modules": ["o_proj"], "lora_dropout": 0.5, "init_lora_weights": "orthogonal"},
    ],
    ids=["list", "all-linear", "regex", "layers", "patterns", "rank above size", "rsLoRA", "exclude", "dropout"],
)
def test_the_factors_give_peft_s_own_logits(tiny: Base, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = elsewhere(tiny, tmp_path / "adapter", **settings)
    a, b = read_foreign(folder, tiny, LORA)
    wanted = peft_logits(tiny, folder)
    ours = logits_with(tiny, {name: 1.5 * b[name] @ a[name] for name in a})
    with torch.no_grad():
        base = fresh(tiny)(IDS).logits
    assert (ours - wanted).norm() < 1e-5 * wanted.norm()
    assert (base - wanted).norm() > 1e-2 * wanted.norm()


def test_a_is_the_adapter_s_own_bit_for_bit(tiny: Base, plain: Path) -> None:
    a, _ = read_foreign(plain, tiny, LORA)
    stored = load_file(plain / "adapter_model.safetensors")
    assert {f"base_model.model.{name}.lora_A.weight" for name in a} == {k for k in stored if "lora_A" in k}
    assert all(torch.equal(v, stored[f"base_model.model.{k}.lora_A.weight"]) for k, v in a.items())


def test_half_precision_is_read_as_it_is(tiny: Base, plain: Path) -> None:
    file = plain / "adapter_model.safetensors"
    save_file({k: v.bfloat16() for k, v in load_file(file).items()}, file)
    wanted = peft_logits(tiny, plain)
    a, b = read_foreign(plain, tiny, LORA)
    assert (logits_with(tiny, {n: 1.5 * b[n] @ a[n] for n in a}) - wanted).norm() < 1e-5 * wanted.norm()


def test_reading_leaves_the_live_model_alone(tiny: Base, plain: Path) -> None:
    before = {k: v.clone() for k, v in tiny.model.state_dict().items()}
    names = [name for name, _ in tiny.model.named_modules()]
    read_foreign(plain, tiny, LORA)
    assert [name for name, _ in tiny.model.named_modules()] == names
    assert all(torch.equal(v, before[k]) for k, v in tiny.model.state_dict().items())


# -- refused by its settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use_dora": True}, "cannot be mixed exactly: DoRA"),
        ({"bias": "lora_only"}, "it trained biases"),
        ({"bias": "all"}, "it trained biases"),
        ({"lora_bias": True}, "its B has a bias (lora_bias)"),
        ({"modules_to_save": ["lm_head"]}, "whole trained modules (modules_to_save)"),
        ({"trainable_token_indices": [1, 2]}, "trained embeddings (trainable_token_indices)"),
        ({"trainable_token_indices": {"embed_tokens": [1]}}, "trained embeddings (trainable_token_indices)"),
        ({"fan_in_fan_out": True}, "transposed (fan_in_fan_out)"),
        ({"target_parameters": ["experts.weight"]}, "no linear module (target_parameters)"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "repeats layers of the base"),
        ({"alora_invocation_tokens": [5]}, "invocation tokens"),
        ({"use_qalora": True}, "the setting use_qalora=True"),
        ({"made_up_in_2031": 3}, "the setting made_up_in_2031=3"),
        ({"init_lora_weights": "pissa_niter_4"}, "its initialisation (pissa_niter_4) changes the base's weights"),
        ({"init_lora_weights": "olora"}, "its initialisation (olora)"),
        ({"peft_type": "LOHA"}, "a LOHA adapter; only LoRA can be mixed"),
        ({"peft_type": "PROMPT_TUNING"}, "a PROMPT_TUNING adapter"),
        ({"peft_type": None}, "a None adapter"),
        ({"r": "three"}, "its settings do not fit tiny-random"),
        ({"r": 0}, "its settings do not fit tiny-random"),
        ({"target_modules": ["not_there"]}, "its settings do not fit tiny-random: "),
        ({"target_modules": None}, "lacks the factors for it"),  # PEFT takes the architecture's usual ones
        ({"target_modules": "("}, "its settings do not fit tiny-random"),
        ({"lora_alpha": float("inf")}, "its alpha for 'model.layers.0.self_attn.q_proj' is not finite"),
        ({"rank_pattern": {"up_proj": 2}}, "do not fit: A (3, 32) and B (64, 3) of rank 2 for a matrix (64, 32)"),
        ({"r": 2}, "do not fit"),
        ({"target_modules": ["q_proj"]}, "its settings adapt no such module"),
        ({"target_modules": ["q_proj", "up_proj", "k_proj"]}, "lacks the factors for it"),
    ],
)
def test_settings_that_cannot_be_mixed(tiny: Base, plain: Path, changes: dict[str, Any], says: str) -> None:
    edit(plain, **changes)
    assert says in refused(plain, tiny)


def test_a_dora_saved_by_peft_is_refused(tiny: Base, tmp_path: Path) -> None:
    folder = elsewhere(tiny, tmp_path / "dora", r=2, target_modules=["q_proj"], use_dora=True)
    assert "DoRA" in refused(folder, tiny)
    edit(folder, use_dora=False)
    assert "is DoRA's magnitudes" in refused(folder, tiny)


def test_lora_of_the_embeddings_is_refused(tiny: Base, tmp_path: Path) -> None:
    folder = elsewhere(tiny, tmp_path / "embeddings", r=2, target_modules=["q_proj", "embed_tokens"])
    assert "is LoRA of an embedding" in refused(folder, tiny)


def test_a_head_that_is_tied_to_the_embeddings_is_refused(tiny: Base, tmp_path: Path) -> None:
    folder = elsewhere(tiny, tmp_path / "head", r=2, target_modules=["q_proj", "lm_head"])
    assert "shares the weight of 'lm_head' with another module" in refused(folder, tiny)


# -- refused by its tensors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lora_A.weight": torch.full((3, 32), float("nan"))}, "values that are not finite"),
        ({"lora_B.weight": torch.full((32, 3), float("-inf"))}, "values that are not finite"),
        ({"lora_A.weight": torch.ones(3, 32, 1, 1)}, "no matrix (LoRA of a convolution?)"),
        ({"lora_A.weight": torch.ones(3, 31)}, "do not fit: A (3, 31)"),
        ({"lora_B.weight": torch.ones(32, 4)}, "do not fit"),
        ({"lora_B.weight": None}, "damaged: its settings adapt 'model.layers.0.self_attn.q_proj'"),
        ({"lora_B.bias": torch.ones(32)}, "is a trained bias"),
        (
            {"base_model.model.model.embed_tokens.weight": torch.ones(259, 32)},
            "is trained embeddings or a trained head",
        ),
        ({"base_model.model.lm_head.weight": torch.ones(259, 32)}, "is trained embeddings or a trained head"),
        ({"base_model.model.model.norm.weight": torch.zeros(32)}, "is no factor of a LoRA adapter"),
        ({"base_model.model.x.lora_A.weight": torch.ones(3, 32)}, "its settings adapt no such module"),
    ],
)
def test_tensors_that_cannot_be_mixed(tiny: Base, plain: Path, changes: dict[str, Any], says: str) -> None:
    edit_tensors(plain, **changes)
    assert says in refused(plain, tiny)


def test_a_folder_that_is_no_adapter(tiny: Base, plain: Path, tmp_path: Path) -> None:
    assert refused(tmp_path / "none", tiny).endswith("no such folder")
    assert "not a PEFT adapter" in refused(tiny.path, tiny)
    (plain / "adapter_model.safetensors").rename(plain / "moved")
    assert refused(plain, tiny).endswith("no adapter_model.safetensors here")
    (plain / "adapter_model.bin").write_bytes(b"\x80\x04")
    assert "a pickle (adapter_model.bin); only safetensors is read" in refused(plain, tiny)


def test_damaged_files(tiny: Base, plain: Path) -> None:
    file = plain / "adapter_model.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:4], b"", b"\xff" * 64):
        file.write_bytes(damaged)
        assert "adapter_model.safetensors is damaged" in refused(plain, tiny)
    file.write_bytes(whole)
    for text in ("", "{", "[]", '"LORA"'):
        (plain / "adapter_config.json").write_text(text)
        assert "damaged" in refused(plain, tiny)


# -- another base, another tokenizer ---------------------------------------------------------------------------------


def test_another_base_is_refused_unless_one_knows_better(tiny: Base, plain: Path) -> None:
    assert refused_base(tiny, plain, "someone/other-model").endswith("if you know that it is the same, add --same-base")
    assert "trained on another base model (someone/other-model) than tiny-random" in refused(plain, tiny)
    read_foreign(plain, tiny, LORA, same_base=True)
    assert "does not say which base model" in refused_base(tiny, plain, None)
    assert "does not say which base model" in refused_base(tiny, plain, "")


def refused_base(tiny: Base, folder: Path, name: str | None) -> str:
    edit(folder, base_model_name_or_path=name)
    return refused(folder, tiny)


def test_the_base_is_known_by_its_name_its_last_part_or_its_bytes(tiny: Base, plain: Path, tmp_path: Path) -> None:
    for name in ("tiny-random", "Someone/Tiny-Random", str(tiny.path), f"elsewhere/{tiny.path.name.upper()}"):
        edit(plain, base_model_name_or_path=name)
        read_foreign(plain, tiny, LORA)
    moved = tmp_path / "renamed"
    shutil.copytree(tiny.path, moved)
    edit(plain, base_model_name_or_path=str(moved))
    read_foreign(plain, tiny, LORA)
    # A folder that is there is known by its bytes, whatever its name.
    other = tmp_path / "tiny-random"
    shutil.copytree(tiny.path, other)
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    assert "trained on another base model" in refused_base(tiny, plain, str(other))


def test_our_own_fingerprint_decides_over_names(tiny: Base, plain: Path) -> None:
    (plain / "pareto.json").write_text(json.dumps({"base": "0123456789abcdef"}))
    assert "another base model (hash 0123456789abcdef) than tiny-random" in refused(plain, tiny)
    read_foreign(plain, tiny, LORA, same_base=True)
    (plain / "pareto.json").write_text(json.dumps({"base": tiny.fingerprint}))
    edit(plain, base_model_name_or_path="moved/away")
    read_foreign(plain, tiny, LORA)


def test_another_tokenizer_is_refused_and_the_base_s_own_is_not(tiny: Base, plain: Path) -> None:
    tiny.tokenizer.save_pretrained(str(plain))
    read_foreign(plain, tiny, LORA)
    file = plain / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    file.write_text(json.dumps(tokenizer))
    said = refused(plain, tiny)
    assert f"comes with another tokenizer than tiny-random: 'A' is {vocabulary['A']}, in the base" in said
    file.write_text("{")
    assert "tokenizer.json: damaged" in refused(plain, tiny)
