"""The bank of adapters: exact mixing, no drift, and nothing foreign gets in."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
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


def stranger(tiny: Base, folder: Path, rank: int = 3, modules: int = 5) -> tuple[State, State]:
    """A folder with an adapter of another rank on some modules, as it is in the run's scale."""
    chosen = sorted(shared_a(tiny, LORA, 1))[:modules]
    a = {k: v for k, v in shared_a(tiny, LORA.model_copy(update={"rank": rank}), 1).items() if k in chosen}
    generator = torch.Generator().manual_seed(9)
    b = {k: torch.randn(tiny.model.get_submodule(k).out_features, rank, generator=generator) / 10 for k in chosen}
    folder.mkdir()
    write_adapter(folder, tiny, LORA, a, b, {})
    return a, b


def test_an_adapter_with_another_a_joins_with_its_own(tiny: Base, bank: Bank, tmp_path: Path) -> None:
    before = weights(tiny)
    own_a, own_b = stranger(tiny, tmp_path / "stranger")
    bank.add("stranger", tmp_path / "stranger")
    assert bank.names == (*NAMES, "stranger")
    soup = {"kind": 0.7, "stranger": -0.5}
    bank.merge(soup)
    a, b = bank.update(soup)
    for name in bank.a:
        expected = before[f"{name}.weight"].double()
        expected = expected + 0.7 * 1.5 * bank.adapters["kind"][name].double() @ bank.a[name].double()
        if name in own_a:
            expected = expected - 0.5 * 1.5 * own_b[name].double() @ own_a[name].double()
        assert a[name].size(0) == (7 if name in own_a else 4)
        update = before[f"{name}.weight"].double() + 1.5 * b[name].double() @ a[name].double()
        assert torch.allclose(update, expected, atol=1e-6)
        assert torch.allclose(tiny.model.get_submodule(name).weight.double(), expected, atol=1e-6)
    bank.merge({"stranger": 1.0})
    untouched = next(k for k in bank.a if k not in own_a)
    assert torch.equal(tiny.model.get_submodule(untouched).weight, before[f"{untouched}.weight"])
    bank.merge({})
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())


def test_an_adapter_above_the_adapted_layers_leaves_them_and_comes_off_whole(tiny: Base, tmp_path: Path) -> None:
    before = weights(tiny)
    upper = LORA.model_copy(update={"layers": 1})
    bank = Bank(tiny, upper, shared_a(tiny, upper, 0))
    own_a, _ = stranger(tiny, tmp_path / "stranger", rank=5, modules=7)  # those of the lower layer
    bank.add("stranger", tmp_path / "stranger")
    bank.merge({"stranger": 1.0})
    changed = {name.removesuffix(".weight") for name, v in weights(tiny).items() if not torch.equal(v, before[name])}
    assert changed == own_a.keys()
    bank.merge({})
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())


def test_a_soup_with_an_own_a_has_no_b_over_the_shared_one(tiny: Base, bank: Bank, tmp_path: Path) -> None:
    stranger(tiny, tmp_path / "stranger")
    bank.add("stranger", tmp_path / "stranger")
    with pytest.raises(ParetoError, match=r"'stranger' does not share the run's A"):
        bank.mixture({"kind": 1.0, "stranger": 0.1})
    assert bank.mixture({"kind": 1.0, "stranger": 0.0}).keys() == bank.a.keys()


def test_without_a_foreign_adapter_the_update_is_over_the_shared_a_alone(bank: Bank) -> None:
    a, b = bank.update({"kind": 0.5, "short": 2.0})
    assert a is bank.a
    for name, value in b.items():
        expected = 0.5 * bank.adapters["kind"][name] + 2.0 * bank.adapters["short"][name]
        assert torch.allclose(value, expected, atol=1e-6)
    assert not any(value.any() for value in bank.update({})[1].values())


def test_an_adapter_that_joins_again_replaces_what_is_merged(tiny: Base, bank: Bank, folders: dict[str, Path]) -> None:
    bank.merge({"short": 1.0})
    expected = weights(tiny)
    bank.merge({"kind": 1.0})
    bank.add("kind", folders["short"])
    bank.merge({"kind": 1.0})
    assert all(torch.equal(value, expected[name]) for name, value in weights(tiny).items())


@pytest.mark.parametrize(
    ("lam", "told"),
    [
        ([1.0], "1 coefficients for 3 adapters: kind, short, true"),
        ([1.0] * 4, "4 coefficients for 3 adapters"),
        ([1.0, float("nan"), 0.0], "the coefficient of 'short' is nan; it must be a finite number"),
        ([1.0, 0.0, float("-inf")], "the coefficient of 'true' is -inf"),
    ],
)
def test_coefficients_that_are_no_soup_are_refused(bank: Bank, lam: list[float], told: str) -> None:
    with pytest.raises(ParetoError, match=told):
        bank.vector(lam)


def test_a_soup_that_is_not_finite_is_refused_by_every_way(tiny: Base, bank: Bank) -> None:
    before = weights(tiny)
    bad = {"kind": float("inf")}
    for use in (bank.merge, bank.update, bank.mixture, lambda c: bank.policy(c).__enter__()):
        with pytest.raises(ParetoError, match="finite"):
            use(bad)
    with pytest.raises(ParetoError, match="finite"), bank.rows([{}, bad]):
        pass
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())


def test_numbers_become_coefficients_in_the_order_of_joining(bank: Bank) -> None:
    assert bank.vector([0.5, 0, -2]) == {"kind": 0.5, "true": -2.0}
    assert bank.vector([1, 2], ["true", "kind"]) == {"true": 1.0, "kind": 2.0}
    with pytest.raises(ParetoError, match="no adapter 'funny'"):
        bank.vector([1], ["funny"])


def test_ten_thousand_switches_later_the_base_is_bit_for_bit_the_same(tiny: Base, bank: Bank, tmp_path: Path) -> None:
    before = weights(tiny)
    stranger(tiny, tmp_path / "stranger")
    bank.add("stranger", tmp_path / "stranger")
    rng = np.random.default_rng(0)
    for lam in rng.normal(size=(10_000, 4)) * (rng.random((10_000, 4)) < 0.6):
        bank.merge(bank.vector(lam))
    bank.merge({"kind": 1.0})
    assert any(not torch.equal(value, before[name]) for name, value in weights(tiny).items())
    bank.merge({})
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())


def test_a_switch_that_was_interrupted_leaves_nothing_behind(
    tiny: Base, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights(tiny)
    bank.merge({"kind": 1.0})
    whole = weights(tiny)
    addmm, calls = torch.addmm, iter(range(100))

    def interrupted(*args: object, **kwargs: object) -> torch.Tensor:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return addmm(*args, **kwargs)

    monkeypatch.setattr(torch, "addmm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bank.merge({"short": 1.0})
    monkeypatch.undo()
    bank.merge({"kind": 1.0})
    assert all(torch.equal(value, whole[name]) for name, value in weights(tiny).items())
    bank.merge({})
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny).items())


def test_two_threads_never_see_each_other_s_weights(tiny: Base, bank: Bank) -> None:
    soups = [{"kind": 1.0}, {"short": -0.7, "true": 0.4}]
    ids = torch.tensor([tiny.prompt_ids("Hi")])
    expected = []
    for soup in soups:
        bank.merge(soup)
        with torch.no_grad():
            expected.append(tiny.model(ids).logits)
    wrong: list[int] = []
    start = threading.Barrier(2)

    def ask(which: int) -> None:
        start.wait()
        for _ in range(40):
            with bank.policy(soups[which]), torch.no_grad():
                first = tiny.model(ids).logits
                time.sleep(0.0005)  # the other thread's turn, were it let in
                if not (torch.equal(first, expected[which]) and torch.equal(tiny.model(ids).logits, expected[which])):
                    wrong.append(which)

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(("shared", "told"), [(True, "the live model belongs to process"), (False, "merged")])
def test_another_process_may_not_write_into_shared_memory(tiny: Base, tmp_path: Path, shared: bool, told: str) -> None:
    base = replace(tiny, model=copy.deepcopy(tiny.model))
    if shared:
        base.model.share_memory()
    a = shared_a(base, LORA, 0)
    bank = Bank(base, LORA, a)
    bank.adapters["one"] = random_b(a, base, 0)
    before = weights(base)
    heard = tmp_path / "heard"
    child = os.fork()
    if child == 0:
        try:
            bank.merge({"one": 1.0})
            heard.write_text("merged")
        except ParetoError as e:
            heard.write_text(str(e))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert told in heard.read_text()
    assert all(torch.equal(value, before[name]) for name, value in weights(base).items())
    bank.merge({"one": 1.0})
    assert any(not torch.equal(value, before[name]) for name, value in weights(base).items())


def test_factors_that_are_not_numbers_are_refused_and_the_others_stay(
    tiny: Base, bank: Bank, folders: dict[str, Path]
) -> None:
    file = folders["kind"] / "adapter_model.safetensors"
    state = load_file(file)
    state["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"][0, 0] = torch.nan
    save_file(state, file)
    with pytest.raises(ParetoError, match=r"kind: .* is damaged: .*not finite"):
        bank.add("odd", folders["kind"])
    assert bank.names == NAMES
    bank.merge({"short": 1.0})


def test_an_adapter_on_the_head_that_is_also_the_embeddings_is_refused(tiny: Base, bank: Bank, tmp_path: Path) -> None:
    folder = tmp_path / "head"
    folder.mkdir()
    write_adapter(folder, tiny, LORA, {"lm_head": torch.ones(4, 32)}, {"lm_head": torch.ones(259, 4)}, {})
    with pytest.raises(ParetoError, match=r"head: it adapts 'lm_head', whose weights are also tiny-random's embedd"):
        bank.add("head", folder)
    assert "head" not in bank.names


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
