"""A run over a base that has all that GGUF needs: a Llama with byte-level BPE and merges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pareto.choice.admission import Admission
from pareto.config import Recipe
from pareto.records import Point, Prompt
from pareto.store.files import folder
from pareto.store.points import load_points, save_point
from pareto.store.run import Run
from pareto.store.tables import write_prompts
from pareto.training.adapters import shared_a, write_adapter

if TYPE_CHECKING:
    from pareto.models import Base

FREE = Admission((), measured=True, kept=True, reason="", checks=[], confirmation=None)
"""Of a run without priorities."""
TEXTS = ["Name a river in Chad.", "What is 12 plus 345?", "Say  it again,\n\nplease: naïve café 😀!", "I'll go."]
"""Digits, spaces, line breaks, accents, emoji: what pre-tokenizers cut differently."""


def make_base(out: Path, *, digits: bool = True) -> Path:
    """Write a random Llama whose tokenizer has merges and cuts digits one by one, as SmolLM's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = Tokenizer(models.BPE())
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), letters])
    if not digits:
        tokens.pre_tokenizer = letters
    tokens.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokens.train_from_iterator([*TEXTS, "in river name again plus what"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens, bos_token=special[1], eos_token=special[2], pad_token=special[0]
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=tokens.get_vocab_size(), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "README.md").write_text("---\nlicense: mit\n---\n\n# A base\n", encoding="utf-8")
    return out


def make_run(root: Path, base: Base) -> Run:
    """A run over that base with two random experts, a soup of them and the prompts."""
    recipe = Recipe.model_validate(
        {
            "name": "forged",
            "seed": 4,
            "model": {"base": str(base.path), "dtype": "float32", "device": "cpu"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [{"name": "kind", "reward": "harmless"}, {"name": "short", "reward": "concise"}],
            "training": {"lora": {"rank": 4, "alpha": 6}},
        }
    )
    made = Run.create(root, recipe)
    write_prompts(
        made.path / "prompts.parquet", [Prompt(f"p{i}", t, "here", split="test") for i, t in enumerate(TEXTS)]
    )
    a = shared_a(base, recipe.training.lora, recipe.seed)
    generator = torch.Generator().manual_seed(0)
    keys = {"expert-kind": "a" * 16, "expert-short": "b" * 16}
    for key in keys.values():
        b = {k: torch.randn(base.model.get_submodule(k).out_features, 4, generator=generator) / 10 for k in sorted(a)}
        with folder(made.adapters / key) as inside:
            write_adapter(inside, base, recipe.training.lora, a, b, {})
    numbers = {"kind": 0.5, "short": 0.25}
    n = dict.fromkeys(numbers, 9)
    rows: list[tuple[str, Any, dict[str, float]]] = [
        ("base", "base", {}),
        ("expert-kind", "expert", {"expert-kind": 1.0}),
        ("expert-short", "expert", {"expert-short": 1.0}),
        ("soup-0", "soup", {"expert-kind": 0.5, "expert-short": -0.25}),
    ]
    for name, kind, coefficients in rows:
        adapters = {name: keys[name] for name in coefficients}
        save_point(
            made, Point(name, kind, "test", None, coefficients, adapters, numbers, numbers, n, {}, 0.1, "scores")
        )
    return made


def point(run: Run, name: str) -> Point:
    return next(p for p in load_points(run) if p.id == name)
