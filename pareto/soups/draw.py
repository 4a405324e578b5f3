"""Completions of many soups at once, and which of the two ways to run them costs less."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pareto.config import Sampling
from pareto.rollouts.sampling import Drawn, Request, batch_size, draw

if TYPE_CHECKING:
    from pareto.soups.bank import Bank

Way = Literal["auto", "merged", "per_row"]

# Seconds on SmolLM2-135M, float32, one core of an AMD EPYC, 4 adapters of rank 16, prompts of 32 tokens, 1 to 8 rows.
# Only their ratios matter. Not measured: more rows, other models, a GPU.
SWITCH = 0.14
"""To merge another soup."""
STEP = 0.085
"""Of a decoding step, whatever the number of rows: reading the weights."""
HOOKS = 0.0125
"""Of a step in per-row mode, whatever the number of rows."""
ROW = 0.0011
"""Of a step in per-row mode, for each row, above what a row costs anyway."""
TOKEN = 0.00045
"""Of the prefill in per-row mode, for each token of a prompt, above what it costs anyway."""


def draw_soups(
    bank: Bank,
    requests: Sequence[Request],
    coefficients: Sequence[Mapping[str, float]],
    sampling: Sampling,
    way: Way,
    progress: Callable[[int], None],
) -> list[Drawn]:
    """See ``Bank.draw``; the coefficients are checked, without zeros and in order."""
    groups: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for i, (_, wanted) in enumerate(zip(requests, coefficients, strict=True)):
        groups.setdefault(tuple(wanted.items()), []).append(i)
    if way == "auto":
        prompts = {(soup, requests[i].ids) for soup, rows in groups.items() for i in rows}
        tokens = sum(len(ids) for _, ids in prompts)
        sizes = [len(rows) for rows in groups.values()]
        way = cheaper(sizes, tokens, sampling.max_new_tokens, batch_size(bank.base, sampling))
    if way == "per_row":
        return draw(bank.base, requests, sampling, progress, lambda rows: bank.rows([coefficients[i] for i in rows]))
    out: dict[int, Drawn] = {}
    for soup, rows in groups.items():
        with bank.policy(dict(soup)):
            drawn = draw(bank.base, [requests[i] for i in rows], sampling, progress)
        out |= dict(zip(rows, drawn, strict=True))
    return [out[i] for i in range(len(requests))]


def cheaper(sizes: Sequence[int], prompt_tokens: int, steps: int, batch: int) -> Literal["merged", "per_row"]:
    """The way that costs less.

    Merged pays a switch per soup, and every soup's batch reads all weights at each step; per row pays the hooks at
    each step and more arithmetic for every row and prompt token. By the constants above, at 40 steps and prompts of
    32 tokens that are not shared, per row costs less up to about 60 rows per soup.

    Args:
        sizes: rows of each soup.
        prompt_tokens: of all different prompts of all soups.
        steps: tokens per completion, at most.
        batch: rows decoded together, at most.
    """
    if len(sizes) < 2:
        return "merged"
    merged = len(sizes) * SWITCH + sum(-(-n // batch) for n in sizes) * steps * STEP
    rows = sum(sizes)
    per_row = -(-rows // batch) * steps * (STEP + HOOKS) + rows * steps * ROW + prompt_tokens * TOKEN
    return "per_row" if per_row < merged else "merged"
