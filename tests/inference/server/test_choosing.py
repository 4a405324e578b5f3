"""Rows that draw each in its own way, against one way for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pareto.config import Sampling
from pareto.inference.server.choosing import choose_rows
from pareto.inference.server.tickets import Ask
from pareto.rollouts.sampling import choose


def ask(temperature: float, top_p: float = 1.0, top_k: int = 50) -> Ask:
    return Ask((1,), (), (0,), 1, temperature, top_p, top_k)


def logits(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 300, generator=torch.Generator().manual_seed(seed)) * 3


ways = st.tuples(st.floats(0.05, 3), st.floats(0.01, 1), st.integers(1, 400))


@given(ways, st.integers(0, 10_000))
def test_rows_that_draw_alike_draw_what_a_batch_of_rollouts_does(way: tuple[float, float, int], seed: int) -> None:
    at, uniform = logits(5, seed), np.random.default_rng(seed).random(5)
    temperature, top_p, top_k = way
    expected = choose(at, uniform, Sampling(temperature=temperature, top_p=top_p, top_k=top_k))
    tokens, logp = choose_rows(at, list(uniform), [ask(*way)] * 5)
    assert tokens == expected[0].tolist()
    assert logp == expected[1].tolist()


@settings(max_examples=30)
@given(st.lists(ways, min_size=2, max_size=6), st.integers(0, 10_000))
def test_no_row_minds_how_the_others_draw(rows: list[tuple[float, float, int]], seed: int) -> None:
    at, uniform = logits(len(rows), seed), np.random.default_rng(seed).random(len(rows))
    tokens, logp = choose_rows(at, list(uniform), [ask(*way) for way in rows])
    for i, way in enumerate(rows):
        alone: Any = choose_rows(at[i : i + 1], [uniform[i]], [ask(*way)])
        assert tokens[i] == alone[0][0]
        assert logp[i] == pytest.approx(alone[1][0], abs=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 1e-40])
def test_greedy_rows_take_the_first_of_the_likeliest_beside_others_that_draw(temperature: float) -> None:
    at = logits(2, 1)
    at[0, 40] = at[0, 7] = at[0].max() + 1
    tokens, logp = choose_rows(at, [0.999, 0.5], [ask(temperature), ask(1.0)])
    assert tokens[0] == 7
    assert logp == pytest.approx(at.double().log_softmax(1)[[0, 1], tokens].tolist(), abs=1e-5)
