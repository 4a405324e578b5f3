"""Truncation: the best update of its rank, its loss told in every module, and nothing touched that need not be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pareto.soups.compress import compress, total


def factors(rank: int, rows: int, columns: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, columns, generator=generator), torch.randn(rows, rank, generator=generator)


@given(
    rank=st.integers(1, 12),
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    wanted=st.integers(1, 14),
    seed=st.integers(0, 99),
)
def test_no_update_of_that_rank_is_nearer(rank: int, rows: int, columns: int, wanted: int, seed: int) -> None:
    """Eckart and Young: what is lost is the root of the sum of the squares of the singular values left out."""
    a, b = factors(rank, rows, columns, seed)
    dense = 1.5 * b.double() @ a.double()
    values = torch.linalg.svdvals(dense)
    new_a, new_b, (loss,) = compress({"m": a}, {"m": b}, wanted, 1.5)
    assert new_a["m"].shape == (loss.rank, columns)
    assert new_b["m"].shape == (rows, loss.rank)
    assert loss.rank <= wanted
    size = float(values.norm())
    assert loss.norm == pytest.approx(size, rel=1e-9)
    assert loss.absolute == pytest.approx(float(values[loss.rank :].norm()), abs=1e-9 * size)
    left = float((dense - 1.5 * new_b["m"].double() @ new_a["m"].double()).norm())
    assert left == pytest.approx(float(values[wanted:].norm()), abs=1e-6 * size)


def test_what_is_no_larger_stays_bit_for_bit_and_exact() -> None:
    small, large = factors(3, 8, 9), factors(5, 8, 9)
    a, b, losses = compress({"s": small[0], "l": large[0]}, {"s": small[1], "l": large[1]}, 3, 1.0)
    assert a["s"] is small[0]
    assert b["s"] is small[1]
    assert [(loss.module, loss.rank_before, loss.rank, loss.absolute > 0) for loss in losses] == [
        ("s", 3, 3, False),
        ("l", 5, 3, True),
    ]
    same_a, same_b, kept = compress({"l": large[0]}, {"l": large[1]}, None, 1.0)
    assert (same_a["l"] is large[0], same_b["l"] is large[1], kept[0].absolute) == (True, True, 0)


def test_an_update_that_needs_less_rank_loses_nothing() -> None:
    a, b = factors(2, 30, 20)
    twice = torch.cat([a, a]), torch.cat([b, 2 * b], 1)
    new_a, new_b, (loss,) = compress({"m": twice[0]}, {"m": twice[1]}, 2, 1.0)
    assert loss.relative < 1e-12
    assert torch.allclose(new_b["m"] @ new_a["m"], 3 * b @ a, atol=1e-4)


def test_an_update_of_zeros_loses_nothing() -> None:
    a, b = factors(4, 6, 5)
    new_a, new_b, (loss,) = compress({"m": a}, {"m": 0 * b}, 1, 1.0)
    assert (loss.relative, total([loss])) == (0, 0)
    assert not (new_b["m"] @ new_a["m"]).any()


def test_the_whole_error_is_that_of_all_modules_side_by_side() -> None:
    one, two = factors(6, 9, 7, 1), factors(6, 5, 8, 2)
    a, b, losses = compress({"1": one[0], "2": two[0]}, {"1": one[1], "2": two[1]}, 2, 0.5)
    lost = [(b0 @ a0 - b[k] @ a[k]).double().norm() for k, (a0, b0) in {"1": one, "2": two}.items()]
    size = [(b0 @ a0).double().norm() for a0, b0 in (one, two)]
    assert total(losses) == pytest.approx(math.hypot(*map(float, lost)) / math.hypot(*map(float, size)), rel=1e-5)
