"""A merged model, or an adapter, as a GGUF file that llama.cpp loads.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; names and layout of a Llama's tensors as
llama.cpp's ``convert_hf_to_gguf.py`` and ``convert_lora_to_gguf.py`` have them, the oracles of the tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.export.formats import DType
from pareto.export.gguf_tokenizer import add_tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter, TensorNameMap

    from pareto.models import Base
    from pareto.training.adapters import State

Floats = NDArray[np.float32]

_HEADS = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
"""Modules whose rows llama.cpp orders otherwise, → what of the configuration says how many heads they have."""


def check_architecture(base: Base) -> None:
    """Refuse a model that would be written wrongly.

    Raises:
        ParetoError: anything but a plain Llama: another architecture, scaled rotary embeddings, biases.
    """
    config = base.model.config
    if config.model_type != "llama":
        raise ParetoError(f"gguf: written for llama models only, and {base.name} is a {config.model_type}")
    rope = config.rope_parameters.get("rope_type", "default")
    if rope != "default":
        raise ParetoError(f"gguf: {base.name} scales its rotary embeddings ({rope}), which is not written here")
    if config.attention_bias or config.mlp_bias:
        raise ParetoError(f"gguf: {base.name} has biases in its layers, which are not written here")
    if config.hidden_act != "silu":
        raise ParetoError(f"gguf: the layers of {base.name} use {config.hidden_act}; llama.cpp's llama has silu")


def write_model(path: Path, base: Base, dtype: DType, name: str, licence: str | None) -> None:
    """Write the live model as it is now, with its tokenizer.

    Args:
        path: the file.
        base: the model, in float32 so that weights are rounded once.
        dtype: of the matrices; vectors stay float32.
        name: of the model, for people.
        licence: of the base.

    Raises:
        ParetoError: see ``check_architecture`` and ``add_tokenizer``.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, quants

    check_architecture(base)
    kind, file_type = {
        "float32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
        "float16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
        "bfloat16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    }[dtype]
    writer = GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    writer.add_file_type(file_type)
    _add_shape(writer, base)
    add_tokenizer(writer, base)
    names = _names(base)
    for ours, tensor in base.model.state_dict().items():
        if ours == "lm_head.weight" and base.model.config.tie_word_embeddings:
            continue
        value = ordered(base, ours.removesuffix(".weight"), tensor.float().cpu().numpy())
        theirs = _named(names, ours, base)
        if value.ndim < 2:
            writer.add_tensor(theirs, value)
        else:
            writer.add_tensor(theirs, quants.quantize(value, kind), raw_dtype=kind)
    _finish(writer)


def write_lora(path: Path, base: Base, a: State, b: State, scale: float, alpha: float, name: str) -> None:
    """Write an adapter whose update is ``scale`` · B A.

    llama.cpp multiplies by alpha/rank, the rank being each tensor's own, and by what ``--lora-scaled`` says.

    Args:
        path: the file.
        base: the model that it adapts.
        a: module → A, (r, in).
        b: module → B, (out, r).
        scale: the run's alpha/rank.
        alpha: written into the file; B carries what alpha/rank does not say, nothing at the run's own rank.
        name: of the adapter, for people.

    Raises:
        ParetoError: see ``check_architecture``; or it adapts a module that llama.cpp does not have.
    """
    from gguf import GGUFWriter, Keys

    check_architecture(base)
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_name(name)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, alpha)
    names = _names(base)
    for module in a:
        theirs = _named(names, f"{module}.weight", base)
        rest = scale * a[module].size(0) / alpha
        writer.add_tensor(f"{theirs}.lora_a", np.ascontiguousarray(a[module].numpy()))
        writer.add_tensor(f"{theirs}.lora_b", ordered(base, module, (rest * b[module]).numpy()))
    _finish(writer)


def ordered(base: Base, module: str, rows: Floats) -> Floats:
    """A matrix with its rows as llama.cpp has them: of Q and K, the halves of each head interleaved."""
    part = module.rsplit(".", 1)[-1]
    if part not in _HEADS:
        return np.ascontiguousarray(rows)
    heads = int(getattr(base.model.config, _HEADS[part]))
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows.shape))


def _names(base: Base) -> TensorNameMap:
    from gguf import MODEL_ARCH, get_tensor_name_map

    return get_tensor_name_map(MODEL_ARCH.LLAMA, int(base.model.config.num_hidden_layers))


def _named(names: TensorNameMap, ours: str, base: Base) -> str:
    found = names.get_name(ours, try_suffixes=(".weight",))
    if found is None:
        raise ParetoError(f"gguf: llama.cpp has no place for '{ours}' of {base.name}")
    return found


def _add_shape(writer: GGUFWriter, base: Base) -> None:
    config: Any = base.model.config
    writer.add_vocab_size(int(base.model.get_input_embeddings().weight.shape[0]))
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
