"""Completions of many soups at once: the same tokens whichever way they are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pareto.config import Lora, Sampling
from pareto.errors import ParetoError
from pareto.rollouts.sampling import Request, draw
from pareto.soups.bank import Bank
from pareto.soups.draw import cheaper
from pareto.training.adapters import shared_a

if TYPE_CHECKING:
    from pareto.models import Base

SAMPLING = Sampling(max_new_tokens=40, temperature=1.0, top_p=1.0, top_k=1000)


@pytest.fixture
def bank(tiny: Base) -> Iterator[Bank]:
    """Two adapters over the shared A and one with its own; the live model is the base again afterwards."""
    bank = Bank(tiny, Lora(rank=4, alpha=6), shared_a(tiny, Lora(rank=4), 0))
    generator = torch.Generator().manual_seed(0)
    for name in ("x", "y", "z"):
        bank.adapters[name] = {
            k: torch.randn(m.out_features, 4, generator=generator) / 20 for k, m in bank.modules.items()
        }
    bank.own["z"] = shared_a(tiny, Lora(rank=4), 7)
    yield bank
    bank.merge({})


def asked(tiny: Base, n: int) -> list[Request]:
    texts = ("Hi", "Name a river.", "What is 12 + 30? Be short.")
    return [Request(tuple(tiny.prompt_ids(texts[i % 3])), i) for i in range(n)]


@pytest.mark.parametrize("batch", ["auto", 7])
def test_the_tokens_are_those_of_each_soup_alone(tiny: Base, bank: Bank, batch: int | str) -> None:
    sampling = SAMPLING.model_copy(update={"batch_size": batch})
    random = np.random.default_rng(0)
    soups = [bank.vector(lam) for lam in [(0, 0, 0), (1, 0, 0), *random.uniform(-0.5, 1, (6, 3))]]
    requests = asked(tiny, 48)
    coefficients = [soups[i % 8] for i in range(48)]
    ways = {way: bank.draw(requests, coefficients, sampling, way) for way in ("merged", "per_row", "auto")}
    for i, (request, soup) in enumerate(zip(requests, coefficients, strict=True)):
        bank.merge(soup)
        alone = draw(tiny, [request], sampling)[0]
        for drawn in ways.values():
            assert drawn[i].token_ids == alone.token_ids
            assert drawn[i].logp == pytest.approx(alone.logp, abs=1e-3)
    lengths = {len(d.token_ids) for d in ways["per_row"]}
    assert len(lengths) > 5  # rows ended at different times
    assert max(lengths) == 40


def test_another_soup_says_something_else(tiny: Base, bank: Bank) -> None:
    request = asked(tiny, 1)[0]
    said = bank.draw([request] * 3, [{}, {"x": 1.0}, {"z": 1.0}], SAMPLING, "per_row")
    assert len({d.token_ids for d in said}) == 3


@pytest.mark.parametrize("way", ["merged", "per_row"])
def test_progress_counts_every_completion_once(tiny: Base, bank: Bank, way: str) -> None:
    told: list[int] = []
    bank.draw(asked(tiny, 9), [{"x": 1.0}, {}, {"y": 0.5}] * 3, SAMPLING, way, told.append)
    assert sum(told) == 9
    assert bank.draw([], [], SAMPLING, way) == []


def test_bad_coefficients_are_refused_before_anything_is_drawn(tiny: Base, bank: Bank) -> None:
    told: list[int] = []
    for bad in ({"w": 1.0}, {"x": float("nan")}):
        with pytest.raises(ParetoError, match=r"no adapter 'w'|finite"):
            bank.draw(asked(tiny, 2), [{}, bad], SAMPLING, "merged", told.append)
    assert told == []


def test_many_small_soups_go_per_row_and_few_large_ones_are_merged() -> None:
    steps, batch = 40, 160
    assert cheaper([16] * 15, 15 * 16 * 30, steps, batch) == "per_row"
    assert cheaper([1] * 64, 64 * 30, steps, batch) == "per_row"
    assert cheaper([208, 208], 2 * 104 * 30, steps, batch) == "merged"
    assert cheaper([64], 64 * 30, steps, batch) == "merged"
    assert cheaper([], 0, steps, batch) == "merged"
