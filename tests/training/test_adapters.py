"""The adapters: one A for all, plain PEFT on the disk, and no adapter of another base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from peft import PeftModel, get_peft_model

from pareto.config import Lora, Model
from pareto.errors import ParetoError
from pareto.models import load
from pareto.soups.bank import Bank
from pareto.training.adapters import (
    State,
    first_layer,
    freeze_a,
    hash_state,
    lora_config,
    mix,
    put,
    read_adapter,
    shared_a,
    take,
    write_adapter,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pareto.models import Base

LORA = Lora(rank=4, alpha=6)
UPPER = Lora(rank=4, alpha=6, layers=1)


def random_b(base: Base, a: State, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(base.model.get_submodule(k).out_features, 4, generator=generator) / 10 for k in a}


def fresh(base: Base) -> PreTrainedModel:
    """The base model loaded again with plain transformers."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)


@pytest.mark.parametrize("lora", [LORA, UPPER, Lora(rank=2, target_modules=("q_proj", "down_proj"))])
def test_a_covers_what_peft_adapts(tiny: Base, lora: Lora) -> None:
    wrapped = get_peft_model(fresh(tiny), lora_config(tiny, lora))
    expected = {
        name.removeprefix("base_model.model.").removesuffix(".lora_A.default.weight"): tuple(p.shape)
        for name, p in wrapped.named_parameters()
        if ".lora_A." in name
    }
    assert {name: tuple(v.shape) for name, v in shared_a(tiny, lora, 0).items()} == expected


def test_a_depends_on_the_run_s_seed_alone(tiny: Base) -> None:
    torch.manual_seed(1)
    first = shared_a(tiny, LORA, 3)
    torch.manual_seed(2)
    again, other = shared_a(tiny, LORA, 3), shared_a(tiny, LORA, 4)
    assert hash_state(first) == hash_state(again) != hash_state(other)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert all(not torch.equal(first[k], other[k]) for k in first)


def test_a_is_drawn_as_peft_draws_it(tiny: Base) -> None:
    a = torch.cat([v.flatten() * v.size(1) ** 0.5 for v in shared_a(tiny, Lora(rank=64), 0).values()])
    assert float(a.abs().max()) <= 1.0  # uniform within ±1/√in
    assert float(a.var()) == pytest.approx(1 / 3, abs=0.01)
    assert float(a.mean()) == pytest.approx(0, abs=0.01)


def test_only_the_upper_layers_are_adapted_when_asked(tiny: Base) -> None:
    assert first_layer(tiny, LORA) == 0
    assert first_layer(tiny, UPPER) == 1
    assert {name.split(".")[2] for name in shared_a(tiny, UPPER, 0)} == {"1"}
    with pytest.raises(ParetoError, match=r"layers: 3 is more than the 2 layers of tiny-random"):
        first_layer(tiny, Lora(layers=3))


@pytest.mark.parametrize("modules", [("query",), ("lm_head",)])
def test_modules_that_cannot_be_adapted_are_named(tiny: Base, modules: tuple[str, ...]) -> None:
    with pytest.raises(ParetoError, match=rf"target_modules: tiny-random has no .*{modules[0]}"):
        shared_a(tiny, Lora(target_modules=modules), 0)


def test_factors_go_into_a_peft_model_and_come_out_again(tiny: Base) -> None:
    wrapped = get_peft_model(fresh(tiny), lora_config(tiny, LORA))
    a = shared_a(tiny, LORA, 0)
    b = random_b(tiny, a)
    put(wrapped, a, None)
    zero = take(wrapped)
    assert all(torch.equal(zero[0][k], a[k]) and not zero[1][k].any() for k in a)
    put(wrapped, a, b)
    out = take(wrapped)
    assert all(torch.equal(out[0][k], a[k]) and torch.equal(out[1][k], b[k]) for k in a)
    with pytest.raises(ParetoError, match="does not fit"):
        put(wrapped, a, dict(list(b.items())[1:]))
    with pytest.raises(ParetoError, match="does not fit"):
        put(wrapped, a, {**b, "model.layers.7.mlp.up_proj": next(iter(b.values()))})


def test_only_b_is_left_to_train(tiny: Base) -> None:
    wrapped = get_peft_model(fresh(tiny), lora_config(tiny, LORA))
    freeze_a(wrapped)
    trained = [name for name, p in wrapped.named_parameters() if p.requires_grad]
    assert len(trained) == 14
    assert all(".lora_B." in name for name in trained)


@pytest.mark.parametrize("lora", [LORA, UPPER])
def test_plain_peft_gives_the_logits_of_the_bank(tiny: Base, tmp_path: Path, lora: Lora) -> None:
    a = shared_a(tiny, lora, 0)
    write_adapter(tmp_path, tiny, lora, a, random_b(tiny, a), {"steps": 3})
    ids = torch.tensor([tiny.prompt_ids("Name a river in Chad.")])
    bank = Bank(tiny, lora, a)
    bank.add("one", tmp_path)
    with torch.no_grad():
        base = tiny.model(ids).logits
        bank.merge({"one": 1.0})
        merged = tiny.model(ids).logits
        bank.merge({})
        plain = PeftModel.from_pretrained(fresh(tiny), tmp_path).eval()(ids).logits
    assert float((merged - base).abs().max()) > 0.1
    assert float((merged - plain).abs().max()) <= 1e-4


def test_the_folder_holds_no_pickle_and_says_what_made_it(tiny: Base, tmp_path: Path) -> None:
    a = shared_a(tiny, LORA, 0)
    write_adapter(tmp_path, tiny, LORA, a, random_b(tiny, a), {"weights": {"kind": 1.0}})
    assert {p.name for p in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "pareto.json",
    }
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (4, 6, "tiny-random")
    made_from = json.loads((tmp_path / "pareto.json").read_text())
    assert made_from == {"base": tiny.fingerprint, "a": hash_state(a), "weights": {"kind": 1.0}}


def test_an_adapter_of_another_base_is_refused_in_one_line(tiny: Base, tmp_path: Path) -> None:
    sibling = fresh(tiny)
    with torch.no_grad():
        sibling.get_submodule("model.norm").weight.mul_(1.001)
    sibling.save_pretrained(tmp_path / "sibling")
    tiny.tokenizer.save_pretrained(tmp_path / "sibling")
    other = load(Model(base=str(tmp_path / "sibling"), dtype="float32", device="cpu"))
    a = shared_a(tiny, LORA, 0)
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_adapter(folder, tiny, LORA, a, random_b(tiny, a), {})
    read_adapter(folder, tiny)
    with pytest.raises(ParetoError, match=f"another base model .*{tiny.fingerprint}.*{other.fingerprint}") as refused:
        read_adapter(folder, other)
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)


def test_a_folder_without_an_adapter_is_refused(tiny: Base, tmp_path: Path) -> None:
    with pytest.raises(ParetoError, match=r"no adapter_model.safetensors here"):
        read_adapter(tmp_path, tiny)


def test_mixing_is_the_weighted_sum_of_the_updates(tiny: Base) -> None:
    a = shared_a(tiny, LORA, 0)
    parts = [(0.3, random_b(tiny, a, 1)), (-1.2, random_b(tiny, a, 2)), (2.0, random_b(tiny, a, 3))]
    mixed = mix(parts)
    for name in a:
        expected = sum(w * (b[name].double() @ a[name].double()) for w, b in parts)
        assert torch.allclose(mixed[name].double() @ a[name].double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lora", [LORA, UPPER])
def test_plain_peft_reads_ranks_and_modules_that_are_not_the_recipe_s(tiny: Base, tmp_path: Path, lora: Lora) -> None:
    ranks = {"model.layers.0.self_attn.q_proj": 2, "model.layers.1.mlp.up_proj": 7, "model.layers.1.mlp.down_proj": 4}
    generator = torch.Generator().manual_seed(0)
    model = fresh(tiny)
    a, b = {}, {}
    for name, rank in ranks.items():
        module = model.get_submodule(name)
        a[name] = torch.randn(rank, module.in_features, generator=generator)
        b[name] = torch.randn(module.out_features, rank, generator=generator) / 10
    write_adapter(tmp_path, tiny, lora, a, b, {})
    ids = torch.tensor([tiny.prompt_ids("Name a river in Chad.")])
    with torch.no_grad():
        plain = PeftModel.from_pretrained(fresh(tiny), tmp_path).eval()(ids).logits
        for name in ranks:
            model.get_submodule(name).weight.add_(b[name] @ a[name], alpha=6 / 4)
        expected = model.eval()(ids).logits
    assert float((plain - expected).abs().max()) <= 1e-4
