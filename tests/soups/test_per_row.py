"""Rows that carry soups of their own, against a float64 copy of the model with each soup written into its weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pareto.config import Lora, Model, Sampling
from pareto.models import load
from pareto.rollouts.sampling import Request
from pareto.soups.bank import Bank
from pareto.training.adapters import State, shared_a

if TYPE_CHECKING:
    from pareto.models import Base

LORA = Lora(rank=4, alpha=6)
IDS = torch.tensor([[1, 40, 7, 99, 12, 200, 3], [1, 5, 77, 31, 18, 64, 90], [9, 8, 7, 6, 5, 4, 3]])


def factors(base: Base, modules: Sequence[str], rank: int, seed: int) -> tuple[State, State]:
    """(A, B) whose update is about as large as the weights."""
    generator = torch.Generator().manual_seed(seed)
    a: State = {}
    b: State = {}
    for name in modules:
        module = base.model.get_submodule(name)
        a[name] = torch.randn(rank, module.in_features, generator=generator) / module.in_features**0.5
        b[name] = torch.randn(module.out_features, rank, generator=generator) * 0.1
    return a, b


def bank_of(base: Base, ranks: Sequence[int | None], seed: int, share: float = 0.6) -> Bank:
    """A bank in memory: for ``None`` an adapter over the shared A, else one of that rank on some of the modules."""
    bank = Bank(base, LORA, shared_a(base, LORA, seed))
    random = np.random.default_rng(seed)
    for k, rank in enumerate(ranks):
        modules = list(bank.a)
        if rank is not None:
            modules = [m for m in modules if random.random() < share] or modules[:1]
        a, b = factors(base, modules, rank or LORA.rank, seed + k)
        bank.adapters[f"x{k}"] = b
        if rank is not None:
            bank.own[f"x{k}"] = a
    return bank


def reference(bank: Bank, soup: Mapping[str, float], ids: torch.Tensor) -> torch.Tensor:
    """Logits of W₀ + Σ λ·scale·B A, all in float64, one adapter after the other."""
    model = copy.deepcopy(bank.base.model).double()
    with torch.no_grad():
        for name in bank.modules:
            weight = bank.pristine[name].double()
            for adapter, value in soup.items():
                if name in bank.adapters[adapter]:
                    a = bank.own.get(adapter, bank.a)[name].double()
                    weight = weight + value * 6 / 4 * (bank.adapters[adapter][name].double() @ a)
            model.get_submodule(name).weight.copy_(weight)
        return model(ids).logits


def error(logits: torch.Tensor, exact: torch.Tensor) -> float:
    return float((logits.double() - exact).norm() / exact.norm())


soups = st.lists(st.lists(st.floats(-1.5, 1.5, width=32), min_size=8, max_size=8), min_size=len(IDS), max_size=len(IDS))


@settings(max_examples=25)
@given(
    ranks=st.lists(st.one_of(st.none(), st.integers(1, 6)), min_size=1, max_size=8),
    values=soups,
    seed=st.integers(0, 1000),
)
def test_both_ways_are_the_float64_soup(
    tiny: Base, ranks: list[int | None], values: list[list[float]], seed: int
) -> None:
    bank = bank_of(tiny, ranks, seed)
    coefficients = [bank.vector(row[: len(ranks)]) for row in values]
    exact = [reference(bank, c, IDS[i : i + 1]) for i, c in enumerate(coefficients)]
    with torch.no_grad():
        with bank.rows(coefficients):
            rows = tiny.model(IDS).logits
        merged = []
        try:
            for i, c in enumerate(coefficients):
                with bank.policy(c):
                    merged.append(tiny.model(IDS[i : i + 1]).logits)
        finally:
            bank.merge({})
    assert error(rows, torch.cat(exact)) <= 1e-5
    assert error(torch.cat(merged), torch.cat(exact)) <= 1e-5


@pytest.mark.parametrize("ranks", [[None] * 8, [2, 5, None, 1, 3, None, 7, 4], [3] * 8])
def test_eight_adapters_are_exact_on_every_row(tiny: Base, ranks: list[int | None]) -> None:
    bank = bank_of(tiny, ranks, 5)
    random = np.random.default_rng(1)
    coefficients = [bank.vector(random.uniform(-0.5, 1.0, 8)) for _ in IDS]
    with bank.rows(coefficients), torch.no_grad():
        rows = tiny.model(IDS).logits
    for i, c in enumerate(coefficients):
        assert error(rows[i : i + 1], reference(bank, c, IDS[i : i + 1])) <= 1e-5


def test_rows_may_be_left_out_repeated_and_be_the_base(tiny: Base) -> None:
    bank = bank_of(tiny, [None, 3], 2)
    coefficients = [{"x0": 1.0}, {}, {"x0": -0.5, "x1": 0.7}]
    with torch.no_grad():
        base = tiny.model(IDS).logits
        with bank.rows(coefficients) as rows:
            first = tiny.model(IDS).logits
            rows.keep([2, 2, 1])
            second = tiny.model(IDS[[2, 2, 1]]).logits
            rows.keep(torch.tensor([1]))
            third = tiny.model(IDS[[2]]).logits
        after = tiny.model(IDS).logits
    assert torch.equal(base, after)
    assert torch.allclose(first[1], base[1], atol=1e-5)
    assert float((first[[0, 2]] - base[[0, 2]]).abs().max()) > 0.1
    assert torch.allclose(second, first[[2, 2, 1]], atol=1e-5)
    assert torch.allclose(third, first[[2]], atol=1e-5)


def test_rows_of_the_base_alone_are_the_base(tiny: Base) -> None:
    bank = bank_of(tiny, [None], 2)
    with torch.no_grad(), bank.rows([{}, {"x0": 0.0}, {}]):
        inside = tiny.model(IDS).logits
    with torch.no_grad():
        assert torch.equal(inside, tiny.model(IDS).logits)


def test_an_error_inside_leaves_no_hook_behind(tiny: Base) -> None:
    bank = bank_of(tiny, [None], 2)
    with torch.no_grad():
        before = tiny.model(IDS).logits
        with pytest.raises(KeyError), bank.rows([{"x0": 1.0}] * 3):
            raise KeyError
        assert torch.equal(tiny.model(IDS).logits, before)


@pytest.fixture(scope="module")
def half() -> Base:
    """The tiny model in bfloat16."""
    return load(Model(base="tiny-random", dtype="bfloat16", device="cpu"))


def test_in_bfloat16_both_ways_stay_as_close_to_exact_as_the_base_does(half: Base) -> None:
    bank = bank_of(half, [None, 3, None], 3)
    coefficients = [{"x0": 0.5, "x1": 0.5}, {}, {"x1": -0.7, "x2": 1.0}]
    exact = torch.cat([reference(bank, c, IDS[i : i + 1]) for i, c in enumerate(coefficients)])
    with torch.no_grad():
        floor = error(half.model(IDS).logits, reference(bank, {}, IDS))
        with bank.rows(coefficients):
            rows = half.model(IDS).logits
        merged = []
        for i, c in enumerate(coefficients):
            with bank.policy(c):
                merged.append(half.model(IDS[i : i + 1]).logits)
    bank.merge({})
    assert rows.dtype == torch.bfloat16
    assert error(rows, exact) <= 4 * floor
    assert error(torch.cat(merged), exact) <= 4 * floor


def test_the_prefill_is_shared_by_rows_with_the_same_prompt_and_soup_only(tiny: Base) -> None:
    bank = bank_of(tiny, [None, 2], 4)
    ids = tuple(tiny.prompt_ids("Hi"))
    lams = [{"x0": 1.0}, {"x1": 1.0}, {"x0": 1.0, "x1": 0.0}, {}, {"x1": 1.0}]
    widths: list[int] = []
    hook = tiny.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: widths.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        bank.draw([Request(ids, i) for i in range(5)], lams, Sampling(max_new_tokens=1), "per_row")
    finally:
        hook.remove()
    assert widths == [3]
