"""Rows that join and leave a running batch, against one forward pass over everything that each has read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.inference.server.decoding import ROOM, Memory, check_joinable

if TYPE_CHECKING:
    from pareto.models import Base

Change = tuple[str, int]
CHANGES = st.lists(st.tuples(st.sampled_from(["join", "leave", "read", "read"]), st.integers(0, 10**6)), max_size=14)


def prompts(seed: int, rows: int, longest: int = 12) -> tuple[list[list[int]], torch.Tensor, torch.Tensor]:
    """Tokens of some rows, and the same left-padded with their mask."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (rows,), generator=generator).tolist()
    said = [torch.randint(3, 259, (n,), generator=generator).tolist() for n in lengths]
    ids = torch.tensor([[0] * (max(lengths) - len(s)) + s for s in said])
    mask = torch.tensor([[0] * (max(lengths) - len(s)) + [1] * len(s) for s in said])
    return said, ids, mask


def check(base: Base, said: list[list[int]], logits: torch.Tensor) -> None:
    for row, got in zip(said, logits, strict=True):
        with torch.no_grad():
            expected = base.model(torch.tensor([row])).logits[0, -1]
        assert torch.allclose(got, expected, atol=2e-4)


def follow(base: Base, changes: list[Change]) -> Memory:
    """Make these changes, and compare at each step that reads."""
    said, ids, mask = prompts(0, 2)
    memory = Memory(base)
    check(base, said, memory.read(ids, mask))
    for kind, seed in changes:
        rows = 1 + seed % 3
        if kind == "join":
            more, ids, mask = prompts(seed, rows)
            other = Memory(base)
            check(base, more, other.read(ids, mask))
            memory, said = memory.joined(other), [*said, *more]
        elif kind == "leave":
            keep = [i for i in range(len(said)) if (seed >> i) % 2] or [0]
            memory.keep(keep)
            said = [list(said[i]) for i in keep]
        else:
            tokens = [3 + (seed + i) % 256 for i in range(len(said))]
            for row, token in zip(said, tokens, strict=True):
                row.append(token)
            check(base, said, memory.read(torch.tensor(tokens)[:, None]))
        assert memory.rows == len(said)
    # No column is kept that no row needs.
    assert memory.mask.size(1) == max(map(len, said))
    return memory


@settings(max_examples=25)
@given(changes=CHANGES)
def test_each_row_knows_what_it_has_read_and_nothing_of_the_others(tiny: Base, changes: list[Change]) -> None:
    follow(tiny, changes)


def test_more_is_read_than_there_was_room_for(tiny: Base) -> None:
    memory = follow(tiny, [*[("read", i) for i in range(ROOM + 5)], ("join", 4), *[("read", i) for i in range(ROOM)]])
    assert memory.mask.size(1) > 2 * ROOM


def test_rows_are_repeated_as_they_leave(tiny: Base) -> None:
    said, ids, mask = prompts(3, 2)
    memory = Memory(tiny)
    memory.read(ids, mask)
    memory.keep([1, 1, 0])
    said = [[*said[i], token] for i, token in ((1, 9), (1, 8), (0, 7))]
    check(tiny, said, memory.read(torch.tensor([[9], [8], [7]])))


def test_a_prompt_may_be_read_in_pieces(tiny: Base) -> None:
    said, ids, mask = prompts(5, 1, longest=60)
    memory = Memory(tiny)
    for start in range(0, ids.size(1), 7):
        logits = memory.read(ids[:, start : start + 7], mask[:, start : start + 7])
    check(tiny, said, logits)


SMALL = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("Mistral", {"sliding_window": 4}),
        ("Gemma2", {"sliding_window": 4, "head_dim": 8, "final_logit_softcapping": 2.0}),
        ("GPT2", {"n_positions": 256}),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    ],
)
def test_windows_and_absolute_positions_hold_where_rows_join_and_leave(
    tiny: Base, name: str, own: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SMALL, **own)
    base = replace(tiny, model=transformers.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False))
    check_joinable(base)
    steps: list[Change] = [("read", i) for i in range(6)]
    follow(base, [*steps, ("join", 7), *steps, ("leave", 6), *steps, ("join", 5), *steps])


def test_a_model_whose_layers_keep_another_state_is_refused(tiny: Base) -> None:
    config = transformers.LlamaConfig(**SMALL)
    config.layer_types = ["full_attention", "linear_attention"]
    other: Any = type("Other", (), {"config": config})()
    with pytest.raises(ParetoError, match="layers of kind linear_attention cannot be served"):
        check_joinable(replace(tiny, model=other))
