"""The shared lower layers: the same numbers as the whole model, and refused where they would not be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, Qwen2Config, Qwen2ForCausalLM

from pareto.config import Lora, Training
from pareto.records import Comparison, Prompt, Rollout
from pareto.training import trunk as trunk_module
from pareto.training.adapters import State, shared_a
from pareto.training.dpo import rows, train_dpo
from pareto.training.trunk import Trunk, shareable

if TYPE_CHECKING:
    from pareto.models import Base

UPPER = Lora(rank=4, alpha=8, layers=1)
SMALL: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}


class AddsItsPlace(nn.Module):
    """A layer stack's wrapper whose result depends on where in the stack it stands."""

    def __init__(self, layer: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.stack = [layers]

    def forward(self, hidden: torch.Tensor, **columns: Any) -> torch.Tensor:
        place = next(i for i, layer in enumerate(self.stack[0].model.layers) if layer is self)
        return self.layer(hidden, **columns) + place


def another(base: Base, model: nn.Module) -> Base:
    return replace(base, model=model.eval().requires_grad_(False))


def test_the_trunk_gives_the_lowest_adapted_layer_s_input(tiny: Base) -> None:
    ids = torch.tensor([tiny.prompt_ids("Name a river.")[:20], [*tiny.prompt_ids("Why?")[:11], *[0] * 9]])
    mask = torch.ones_like(ids)
    mask[1, 11:] = 0
    with torch.no_grad():
        alone = [
            tiny.model(ids[i : i + 1, :n], output_hidden_states=True).hidden_states[1][0] for i, n in ((0, 20), (1, 11))
        ]
    trunk = Trunk(tiny, 1)
    for _ in range(2):  # computed, then kept
        hidden = trunk.hidden(ids, mask)
        assert torch.allclose(hidden[0], alone[0], atol=1e-5)
        assert torch.allclose(hidden[1, :11], alone[1], atol=1e-5)
        assert not hidden[1, 11:].any()


def test_a_sequence_goes_through_the_lower_layers_once(tiny: Base) -> None:
    calls: list[int] = []
    lowest = tiny.model.get_submodule("model.layers.0")
    hook = lowest.register_forward_pre_hook(lambda _module, args: calls.append(len(args[0])))
    trunk = Trunk(tiny, 1)
    ids = torch.arange(4, 24).repeat(3, 1) + torch.arange(3)[:, None]
    mask = torch.ones_like(ids)
    try:
        trunk.hidden(ids, mask)
        trunk.hidden(ids, mask)
        mask[0, 15:] = 0  # a shorter sequence is another one
        trunk.hidden(ids, mask)
        trunk.hidden(ids[:1, :15], mask[:1, :15])
    finally:
        hook.remove()
    assert calls == [1, 1, 1, 1]


def test_the_bits_do_not_depend_on_what_a_sequence_is_batched_with(tiny: Base) -> None:
    """Else an adapter would depend on what its process trained before."""
    lengths = (20, 3, 17, 9)
    ids = torch.randint(4, 250, (4, 20), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[int(t < n) for t in range(20)] for n in lengths])
    batched = Trunk(tiny, 1).hidden(ids, mask)
    trunk = Trunk(tiny, 1)
    for i, n in reversed(list(enumerate(lengths))):
        assert torch.equal(trunk.hidden(ids[i : i + 1, :n], mask[i : i + 1, :n])[0], batched[i, :n])


def test_what_does_not_fit_is_computed_anew(tiny: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_module, "LIMIT_BYTES", 20 * 32 * 4)
    trunk = Trunk(tiny, 1)
    ids = torch.arange(4, 24).repeat(3, 1) + torch.arange(3)[:, None]
    mask = torch.ones_like(ids)
    first, second = trunk.hidden(ids, mask), trunk.hidden(ids, mask)
    assert torch.equal(first, second)
    assert len(trunk.kept) == 1
    assert trunk.bytes == 20 * 32 * 4


def test_the_whole_model_is_back_after_use(tiny: Base) -> None:
    trunk = Trunk(tiny, 1)
    layers = tiny.model.model.layers
    with trunk.upper() as backbone:
        assert list(backbone.layers) == [layers[1]]
    assert tiny.model.model.layers is layers

    def fail() -> None:
        with trunk.upper():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert tiny.model.model.layers is layers
    assert len(layers) == 2


def test_llama_and_gemma_can_share_but_not_below_the_first_layer(tiny: Base) -> None:
    assert shareable(tiny, 1)
    assert not shareable(tiny, 0)  # every layer is adapted: there is nothing to share
    config = Gemma3TextConfig(**SMALL, head_dim=8, layer_types=["full_attention", "full_attention"])
    assert shareable(another(tiny, Gemma3ForCausalLM(config)), 1)  # its embeddings are scaled in the trunk


def test_a_layer_that_depends_on_its_place_is_detected(tiny: Base) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(tiny.path, dtype=torch.float32)
    model.model.layers[1] = AddsItsPlace(model.model.layers[1], model)
    assert not shareable(another(tiny, model), 1)


def test_positions_that_differ_by_layer_are_detected(tiny: Base) -> None:
    config = Gemma3TextConfig(**SMALL, head_dim=8, layer_types=["sliding_attention", "full_attention"])
    assert not shareable(another(tiny, Gemma3ForCausalLM(config)), 1)


@pytest.mark.parametrize("window", [4, 128])
def test_attention_windows_that_differ_by_layer_are_detected(tiny: Base, window: int) -> None:
    """Also one that is wider than any probe: training sequences may be longer."""
    config = Qwen2Config(
        **SMALL,
        use_sliding_window=True,
        sliding_window=window,
        layer_types=["full_attention", "sliding_attention"],
    )
    assert not shareable(another(tiny, Qwen2ForCausalLM(config)), 1)
    alike = Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=window, layer_types=["sliding_attention"] * 2)
    assert shareable(another(tiny, Qwen2ForCausalLM(alike)), 1)


@pytest.mark.parametrize("start", [False, True])
def test_shared_training_is_unshared_training(
    tiny: Base,
    prompts: list[Prompt],
    pool: list[Rollout],
    comparisons: list[Comparison],
    tmp_path: Path,
    start: bool,
) -> None:
    data = rows({p.id: tiny.prompt_ids(p.text) for p in prompts}, pool, comparisons)
    a = shared_a(tiny, UPPER, 0)
    generator = torch.Generator().manual_seed(0)
    b: State = {
        k: torch.randn(tiny.model.get_submodule(k).out_features, 4, generator=generator) / 20 for k in sorted(a)
    }
    trained = [
        train_dpo(
            tiny,
            Training(learning_rate=5e-3, batch_size=4, lora=UPPER),
            data,
            a,
            b if start else None,
            trunk,
            steps=6,  # three epochs: most sequences come from what is kept
            seed=3,
            scratch=tmp_path,
            progress=lambda *_: None,
        )[1]
        for trunk in (None, Trunk(tiny, 1))
    ]
    moved = max(float((trained[0][k] - (b[k] if start else 0)).abs().max()) for k in a)
    assert moved > 5e-3
    for k in a:
        assert torch.allclose(trained[0][k], trained[1][k], rtol=0, atol=1e-5), k
