"""The bank of adapters: exact mixing, no drift, and nothing foreign gets in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pareto.config import Lora
from pareto.errors import ParetoError
from pareto.soups.bank import Bank
from pareto.training.adapters import State, shared_a, write_adapter

if TYPE_CHECKING:
    from pareto.models import Base

LORA = Lora(rank=4, alpha=6)
NAMES = ("kind", "short", "true")


def random_b(a: State, base: Base, seed: int) -> State:
    """A B as large as a trained one, or larger."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(base.model.get_submodule(name).out_features, LORA.rank, generator=generator) * 0.1
        for name in a
    }


@pytest.fixture
def folders(tiny: Base, tmp_path: Path) -> dict[str, Path]:
    """Three adapters on the disk."""
    a = shared_a(tiny, LORA, 0)
    out = {}
    for i, name in enumerate(NAMES):
        out[name] = tmp_path / name
        out[name].mkdir()
        write_adapter(out[name], tiny, LORA, a, random_b(a, tiny, i), {})
    return out


@pytest.fixture
def bank(tiny: Base, folders: dict[str, Path]) -> Iterator[Bank]:
    """A bank with the three in it; the live model is the base again afterwards."""
    bank = Bank(tiny, LORA, shared_a(tiny, LORA, 0))
    for name, folder in folders.items():
        bank.add(name, folder)
    yield bank
    bank.merge({})


def weights(base: Base) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in base.model.state_dict().items()}


def test_a_soup_is_the_base_plus_the_sum_of_the_scaled_updates(
    tiny: Base, bank: Bank, folders: dict[str, Path]
) -> None:
    coefficients = {"kind": 0.7, "short": -0.4, "true": 1.3}
    before = weights(tiny)
    bank.merge(coefficients)
    files = {name: load_file(folder / "adapter_model.safetensors") for name, folder in folders.items()}
    changed = 0
    for name, value in weights(tiny).items():
        expected = before[name].double().numpy()
        key = f"base_model.model.{name.removesuffix('.weight')}"
        for adapter, coefficient in coefficients.items():
            if f"{key}.lora_A.weight" in files[adapter]:
                changed += 1
                a, b = (files[adapter][f"{key}.lora_{x}.weight"].double().numpy() for x in "AB")
                expected = expected + coefficient * 6 / 4 * (b @ a)
        np.testing.assert_allclose(value.double().numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert changed == 3 * 2 * 7  # adapters × layers × adapted modules


def test_two_hundred_soups_later_the_base_is_bit_for_bit_the_same(tiny: Base, bank: Bank) -> None:
    before = weights(tiny)
    rng = np.random.default_rng(0)
    for _ in range(200):
        chosen = rng.choice(NAMES, size=rng.integers(1, 4), replace=False)
        bank.merge({str(name): float(rng.normal()) for name in chosen})
    assert any(not torch.equal(value, before[name]) for name, value in weights(tiny).items())
    bank.merge({})
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())


def test_a_soup_does_not_depend_on_what_was_merged_before(tiny: Base, bank: Bank) -> None:
    bank.merge({"kind": 0.5, "short": 0.5})
    first = weights(tiny)
    bank.merge({"true": 3.0})
    bank.merge({"kind": 0.5, "short": 0.5, "true": 0.0})
    assert all(torch.equal(value, first[name]) for name, value in weights(tiny).items())


def test_all_coefficients_zero_is_the_base(tiny: Base, bank: Bank) -> None:
    before = weights(tiny)
    bank.merge({"kind": 1.0})
    bank.merge({"kind": 0.0, "short": 0.0})
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())


def test_an_unknown_adapter_is_named_and_the_model_stays_as_it_was(tiny: Base, bank: Bank) -> None:
    before = weights(tiny)
    with pytest.raises(ParetoError, match=r"no adapter 'funny'.*kind, short, true"):
        bank.merge({"kind": 1.0, "funny": 1.0})
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())


def test_an_adapter_with_another_a_is_refused(tiny: Base, bank: Bank, tmp_path: Path) -> None:
    a = shared_a(tiny, LORA, 1)
    folder = tmp_path / "stranger"
    folder.mkdir()
    write_adapter(folder, tiny, LORA, a, random_b(a, tiny, 9), {})
    with pytest.raises(ParetoError, match=r"stranger: .*does not share the run's A"):
        bank.add("stranger", folder)
    assert "stranger" not in bank.adapters


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("base_model.model.../../etc/passwd.lora_B.weight", (32, 4)),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", (32, 5)),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude.weight", (32, 4)),
        ("base_model.model.model.embed_tokens.lora_B.weight", (32, 4)),
        ("model", (1,)),
    ],
)
def test_a_file_with_factors_that_fit_nowhere_is_refused(
    tiny: Base, bank: Bank, folders: dict[str, Path], key: str, shape: tuple[int, ...]
) -> None:
    file = folders["kind"] / "adapter_model.safetensors"
    save_file({**load_file(file), key: torch.ones(shape)}, file)
    with pytest.raises(ParetoError, match=r"^\S+kind: .*") as refused:
        bank.add("odd", folders["kind"])
    assert "\n" not in str(refused.value)
    assert "odd" not in bank.adapters


def test_an_adapter_that_lacks_a_factor_is_refused(tiny: Base, bank: Bank, folders: dict[str, Path]) -> None:
    file = folders["kind"] / "adapter_model.safetensors"
    state = load_file(file)
    state.pop("base_model.model.model.layers.1.mlp.up_proj.lora_B.weight")
    save_file(state, file)
    with pytest.raises(ParetoError, match="kind"):
        bank.add("odd", folders["kind"])


def test_a_damaged_file_is_told_in_one_line(tiny: Base, bank: Bank, folders: dict[str, Path]) -> None:
    file = folders["kind"] / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ParetoError, match=r"kind: adapter_model.safetensors is damaged") as refused:
        bank.add("odd", folders["kind"])
    assert "\n" not in str(refused.value)


def test_a_bfloat16_base_takes_the_nearest_weights(tmp_path: Path) -> None:
    from pareto.config import Model
    from pareto.models import load

    base = load(Model(base="tiny-random", dtype="bfloat16", device="cpu"))
    a = shared_a(base, LORA, 0)
    b = random_b(a, base, 0)
    write_adapter(tmp_path, base, LORA, a, b, {})
    name = "model.layers.1.mlp.up_proj"
    before = base.model.get_submodule(name).weight.double()
    bank = Bank(base, LORA, a)
    bank.add("one", tmp_path)
    bank.merge({"one": 0.5})
    exact = before + 0.5 * 1.5 * (b[name].double() @ a[name].double())
    error = (base.model.get_submodule(name).weight.double() - exact).abs()
    assert float((error / exact.abs().clamp(min=1e-3)).max()) <= 2**-8  # half a unit in the last of 8 bits
    bank.merge({})
    assert torch.equal(base.model.get_submodule(name).weight.double(), before)
