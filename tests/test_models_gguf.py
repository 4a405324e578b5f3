"""A GGUF file as the base: read once, the same weights and the same tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pareto.config import Model
from pareto.errors import ParetoError
from pareto.model_sources import resolve
from pareto.models import load

if TYPE_CHECKING:
    from pareto.models import Base


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARETO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_gguf_file_is_converted_once_to_the_weights_that_it_holds(
    tiny: Base, tmp_path: Path, empty_cache: Path
) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(tiny, file)
    base = load(Model(base=str(file), dtype="float32"))
    ids = torch.tensor([tiny.prompt_ids("Name a river.")])
    with torch.no_grad():
        assert torch.allclose(base.model(ids).logits[..., :-1], tiny.model(ids).logits, atol=1e-4)
    assert base.prompt_ids("Name a river.") == tiny.prompt_ids("Name a river.")
    assert base.end_id == tiny.end_id
    kept = sorted((empty_cache / "models").iterdir())
    assert [p.name for p in kept] == [base.path.name]
    assert not list(base.path.glob("*.gguf"))
    made = base.path.stat().st_mtime_ns
    assert resolve(str(file)).stat().st_mtime_ns == made


def test_a_file_that_only_ends_in_gguf_is_refused(tmp_path: Path, empty_cache: Path) -> None:
    (tmp_path / "fake.gguf").write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(ParetoError, match=r"fake\.gguf: not a GGUF model") as refused:
        resolve(str(tmp_path / "fake.gguf"))
    assert "\n" not in str(refused.value)
    assert not list((empty_cache / "models").iterdir())


def write_gguf(base: Base, path: Path) -> None:
    """The tiny model as llama.cpp keeps a Llama: rows of Q and K permuted, the tokenizer's tables inside."""
    from gguf import GGUFWriter, TokenType

    config = base.model.config
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size + 1)
    # transformers reads no tokenizer without merges: one more token, which the texts here do not contain.
    symbols = [base.tokenizer.convert_ids_to_tokens(i) for i in range(config.vocab_size)] + ["zq"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(symbols)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(symbols) - 3))
    writer.add_token_merges(["z q"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(base.tokenizer.chat_template)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    state = {k: v.float().numpy() for k, v in base.model.state_dict().items()}
    writer.add_tensor("token_embd.weight", np.pad(state["model.embed_tokens.weight"], ((0, 1), (0, 0))))
    writer.add_tensor("output_norm.weight", state["model.norm.weight"])
    for layer in range(config.num_hidden_layers):
        for ours, theirs in names.items():
            value = state[f"model.layers.{layer}.{ours}.weight"]
            if theirs in heads:
                h = heads[theirs]
                value = value.reshape(h, 2, value.shape[0] // h // 2, -1).swapaxes(1, 2).reshape(value.shape)
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
