"""TIES, DARE and magnitude pruning: what PEFT itself makes of the same adapters, and what their papers say."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from peft_folders import elsewhere, fresh

from pareto.config import Lora
from pareto.errors import ParetoError
from pareto.soups.combine import METHODS, combine
from pareto.soups.foreign import read_foreign
from pareto.training.adapters import State

if TYPE_CHECKING:
    from pareto.models import Base

LORA = Lora(rank=4, alpha=6)
LAMBDA = {"one": 1.0, "two": -0.5, "three": 1.25}


@pytest.fixture
def folders(tiny: Base, tmp_path: Path) -> dict[str, Path]:
    modules = (["q_proj", "up_proj"], ["q_proj"], ["up_proj", "k_proj"])
    return {
        name: elsewhere(tiny, tmp_path / name, i, r=i + 2, lora_alpha=3 + i, target_modules=wanted)
        for i, (name, wanted) in enumerate(zip(LAMBDA, modules, strict=True))
    }


@pytest.fixture
def parts(tiny: Base, folders: dict[str, Path]) -> dict[str, tuple[State, State]]:
    return {name: read_foreign(folder, tiny, LORA) for name, folder in folders.items()}


def update(state: tuple[State, State], module: str) -> torch.Tensor:
    return 1.5 * state[1][module] @ state[0][module]


@pytest.mark.parametrize("method", ["ties_svd", "magnitude_prune_svd"])
def test_it_is_what_peft_makes_of_the_whole_model(
    tiny: Base, folders: dict[str, Path], parts: dict[str, tuple[State, State]], method: str
) -> None:
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(fresh(tiny), str(folders["one"]), adapter_name="one")
        for name in ("two", "three"):
            model.load_adapter(str(folders[name]), adapter_name=name)
        model.base_model.add_weighted_adapter(
            list(LAMBDA), list(LAMBDA.values()), "all", combination_type=method, svd_rank=6, density=0.3
        )
    a, b, losses = combine(parts, LAMBDA, 1.5, method=method, density=0.3, rank=6, seed=0)
    assert len(a) == 2 * 3
    assert [loss.module for loss in losses] == list(a)
    for module in a:
        wanted = model.base_model.model.get_submodule(module).get_delta_weight("all").detach()
        assert (update((a, b), module) - wanted).norm() < 1e-5 * wanted.norm()


@pytest.mark.parametrize("method", ["dare_linear_svd", "dare_ties_svd"])
def test_dare_keeps_some_values_and_scales_them_up(parts: dict[str, tuple[State, State]], method: str) -> None:
    module = "model.layers.1.self_attn.k_proj"  # only one of them adapts it, so nothing is averaged
    a, b, losses = combine(parts, LAMBDA, 1.5, method=method, density=0.4, rank=64, seed=3)
    ratio = update((a, b), module) / (1.25 * update(parts["three"], module))
    kept = ratio.abs() > 0.5
    assert kept.float().mean() == pytest.approx(0.4, abs=0.08)  # 512 values
    assert (ratio[kept] - 1 / 0.4).abs().max() < 0.05
    assert all(loss.absolute == 0 for loss in losses)


def test_dare_s_seed_decides_and_the_world_s_dice_stay_where_they_are(parts: dict[str, tuple[State, State]]) -> None:
    def drawn(seed: int) -> torch.Tensor:
        a, b, _ = combine(parts, LAMBDA, 1.5, method="dare_linear_svd", density=0.4, rank=64, seed=seed)
        return update((a, b), "model.layers.0.mlp.up_proj")

    state = torch.get_rng_state()
    first = drawn(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(drawn(3), first)
    assert not torch.allclose(drawn(4), first, atol=1e-2)


def test_all_values_kept_and_pruned_by_none_is_the_plain_sum(parts: dict[str, tuple[State, State]]) -> None:
    for method in ("magnitude_prune_svd", "dare_linear_svd"):
        a, b, _ = combine(parts, LAMBDA, 1.5, method=method, density=1, rank=64, seed=0)
        for module in a:
            wanted = sum(LAMBDA[n] * update(part, module) for n, part in parts.items() if module in part[0])
            assert torch.allclose(update((a, b), module), wanted, atol=1e-4)  # type: ignore[arg-type]


def test_the_loss_is_what_the_rank_cuts_off(parts: dict[str, tuple[State, State]]) -> None:
    settings = {"method": "ties_svd", "density": 0.5, "seed": 0}
    whole = combine(parts, LAMBDA, 1.5, rank=64, **settings)  # type: ignore[arg-type]
    a, b, losses = combine(parts, LAMBDA, 1.5, rank=5, **settings)  # type: ignore[arg-type]
    assert {a[k].size(0) for k in a} == {5}
    for loss in losses:
        full = update(whole[:2], loss.module)
        assert loss.norm == pytest.approx(float(full.norm()), rel=1e-5)
        assert loss.absolute == pytest.approx(float((full - update((a, b), loss.module)).norm()), rel=1e-4)
        assert loss.relative > 0.01


def test_progress_counts_the_modules(parts: dict[str, tuple[State, State]]) -> None:
    told: list[tuple[int, int]] = []
    combine(
        parts, LAMBDA, 1.5, method="ties_svd", density=0.5, rank=2, seed=0, progress=lambda *done: told.append(done)
    )
    assert told == [(i, 6) for i in range(1, 7)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "ties"}, "no method 'ties'; did you mean 'ties_svd'?"),
        ({"method": "cat"}, "no method 'cat'; known: ties_svd, dare_ties_svd, dare_linear_svd, magnitude_prune_svd"),
        ({"density": 0.0}, "density 0: must be above 0 and at most 1"),
        ({"density": 1.5}, "density 1.5: must be above 0"),
        ({"density": float("nan")}, "density nan: must be above 0"),
        ({"coefficients": {"one": 1.0}}, "needs at least two adapters"),
        ({"coefficients": {"one": 1.0, "two": 0.0}}, "needs at least two adapters"),
        ({"coefficients": {"one": 1.0, "two": float("nan")}}, "two=nan is not a finite number"),
    ],
)
def test_what_cannot_be_combined(parts: dict[str, tuple[State, State]], changes: dict, says: str) -> None:
    settings = {"method": "ties_svd", "density": 0.5, "rank": 2, "seed": 0, "coefficients": LAMBDA} | changes
    with pytest.raises(ParetoError) as refused:
        combine(parts, scale=1.5, **settings)
    assert says in str(refused.value)


def test_peft_knows_the_methods_that_are_offered(parts: dict[str, tuple[State, State]]) -> None:
    for method in METHODS:
        combine(parts, LAMBDA, 1.5, method=method, density=0.5, rank=1, seed=0)
