"""Any PEFT LoRA folder as factors in a run's scale, or the reason why it cannot be mixed exactly.

PEFT itself tells which modules the folder's settings adapt, at which rank and scale: it injects the adapter into a
copy of the base without memory (torch's ``meta`` device). Only safetensors is read; nothing is unpickled.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.config import Lora
from pareto.errors import ParetoError
from pareto.soups.same_base import check_base, check_tokenizer
from pareto.store.files import read_json
from pareto.training.adapters import FACTOR, State

if TYPE_CHECKING:
    from torch import Tensor

    from pareto.models import Base

PLAIN = {
    *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "lora_dropout"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "init_lora_weights"),
    *("eva_config", "megatron_core", "qalora_group_size", "runtime_config", "ensure_weight_tying"),
}
"""Settings with which an update is still s·B·A of linear modules, whatever their value (dropout acts in training
only). rsLoRA is among them: it is another s, alpha/√r."""
REFUSED = {
    "use_dora": "DoRA (use_dora) rescales the columns of the whole weight, which is no sum of updates",
    "bias": "it trained biases (bias), and a mixture of updates B·A has no place for them",
    "lora_bias": "its B has a bias (lora_bias), and a mixture of updates B·A has no place for it",
    "modules_to_save": "it carries whole trained modules (modules_to_save)",
    "trainable_token_indices": "it carries trained embeddings (trainable_token_indices)",
    "fan_in_fan_out": "its layers keep their weight transposed (fan_in_fan_out)",
    "target_parameters": "it adapts parameters that are no linear module (target_parameters)",
    "layer_replication": "it repeats layers of the base (layer_replication)",
    "alora_invocation_tokens": "it acts only after its invocation tokens (aLoRA, alora_invocation_tokens)",
}
"""Setting → why an adapter that uses it cannot be mixed exactly."""
INITS = {"gaussian", "orthogonal", "eva"}
"""Initialisations by name that leave the base's weights alone; PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA do not."""
COPY = re.compile(r"^base_model\.model\.|\.base_layer(?=\.)")
"""What PEFT adds to the name of one of the base's own tensors."""
TENSORS = {
    r"lora_magnitude": "DoRA's magnitudes",
    r"lora_embedding_": "LoRA of an embedding",
    r"lora_[AB]\.bias|\.bias$": "a trained bias",
    r"embed_tokens|lm_head|token_adapter|trainable_tokens|wte|modules_to_save": "trained embeddings or a trained head",
}
"""Pattern in a tensor's name → what such a tensor is."""


def read_foreign(folder: Path, base: Base, lora: Lora, *, same_base: bool = False) -> tuple[State, State]:
    """Factors of a PEFT LoRA of this base, ΔW = (alpha/rank)·B·A with the *run's* alpha and rank.

    A is the adapter's own, bit for bit, its rank may differ between modules; B carries the ratio of the scales.

    Args:
        folder: with ``adapter_config.json`` and ``adapter_model.safetensors``.
        base: the run's base model.
        lora: the run's adapters.
        same_base: trust the caller that the adapter was trained on this base.

    Raises:
        ParetoError: no such folder, no adapter, damaged, of another base or tokenizer, or not an update of linear
            modules alone; the line says which.
    """
    config = _config(folder)
    _check_settings(folder, config)
    if not same_base:
        check_base(folder, config, base)
    check_tokenizer(folder, base)
    tensors = _tensors(folder, base)
    wanted = _targets(folder, config, base)
    run_scale = lora.alpha / lora.rank
    a: State = {}
    b: State = {}
    for name, (rank, scale) in wanted.items():
        pair = [tensors.pop(f"base_model.model.{name}.lora_{factor}.weight", None) for factor in "AB"]
        if pair[0] is None or pair[1] is None:
            raise ParetoError(f"{folder}: damaged: its settings adapt {name!r}, but its file lacks the factors for it")
        a[name], b[name] = pair[0].float(), (pair[1].double() * (scale / run_scale)).float()
        weight = base.model.get_submodule(name).weight
        if a[name].shape != (rank, weight.size(1)) or b[name].shape != (weight.size(0), rank):
            raise ParetoError(
                f"{folder}: its factors for {name!r} do not fit: A {tuple(a[name].shape)} and B {tuple(b[name].shape)} "
                f"of rank {rank} for a matrix {tuple(weight.shape)} of {base.name}"
            )
    if tensors:
        raise ParetoError(f"{folder}: its settings adapt no such module of {base.name}: {next(iter(tensors))!r}")
    return a, b


def _config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ParetoError(f"{folder}: no such folder")
    if not (folder / "adapter_config.json").is_file():
        raise ParetoError(f"{folder}: not a PEFT adapter, there is no adapter_config.json in it")
    if not (folder / "adapter_model.safetensors").is_file():
        if (folder / "adapter_model.bin").exists():
            raise ParetoError(f"{folder}: its weights are a pickle (adapter_model.bin); only safetensors is read")
        raise ParetoError(f"{folder}: no adapter_model.safetensors here")
    config = read_json(folder / "adapter_config.json")
    if not isinstance(config, dict):
        raise ParetoError(f"{folder / 'adapter_config.json'}: damaged, not the settings of an adapter")
    return config


def _check_settings(folder: Path, config: dict[str, Any]) -> None:
    """Only what is known to leave the update a sum over linear modules."""
    from peft import LoraConfig

    if config.get("peft_type") != "LORA":
        raise ParetoError(f"{folder}: a {config.get('peft_type')} adapter; only LoRA can be mixed")
    defaults = {f.name: f.default for f in dataclasses.fields(LoraConfig)}
    for name, value in config.items():
        if name in PLAIN or not value or value == defaults.get(name):
            continue
        why = REFUSED.get(name, f"nothing is known of mixing adapters with the setting {name}={value!r}")
        raise ParetoError(f"{folder}: cannot be mixed exactly: {why}")
    init = config.get("init_lora_weights", True)
    if not isinstance(init, bool) and init not in INITS:
        raise ParetoError(
            f"{folder}: cannot be mixed exactly: its initialisation ({init}) changes the base's weights too; save it "
            "with PEFT's path_initial_model_for_weight_conversion, which makes a plain LoRA of it"
        )


def _tensors(folder: Path, base: Base) -> dict[str, Tensor]:
    """The file's factors, all of them finite matrices."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(folder / "adapter_model.safetensors")
    except SafetensorError as e:
        raise ParetoError(f"{folder}: adapter_model.safetensors is damaged: {str(e).splitlines()[0]}") from None
    # Beside factors of embeddings or a head PEFT saves the base's own weights of them.
    own = base.model.state_dict()
    factors = {k: v for k, v in tensors.items() if not _same(v, own.get(COPY.sub("", k)))}
    for key, value in factors.items():
        if FACTOR.fullmatch(key) is None:
            known = (what for pattern, what in TENSORS.items() if re.search(pattern, key))
            what = next(known, "no factor of a LoRA adapter")
            raise ParetoError(f"{folder}: cannot be mixed exactly: {key!r} is {what}")
        if value.dim() != 2:
            raise ParetoError(f"{folder}: cannot be mixed exactly: {key!r} is no matrix (LoRA of a convolution?)")
        if not bool(torch.isfinite(value.float()).all()):
            raise ParetoError(f"{folder}: {key!r} has values that are not finite")
    return factors


def _same(theirs: Tensor, ours: Tensor | None) -> bool:
    import torch

    return ours is not None and torch.equal(theirs.to(ours.device, ours.dtype), ours)


def _targets(folder: Path, config: dict[str, Any], base: Base) -> dict[str, tuple[int, float]]:
    """Module → (rank, scale), as PEFT reads the settings for this base."""
    import torch
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    plain = {k: v for k, v in config.items() if k in PLAIN - {"init_lora_weights", "eva_config", "runtime_config"}}
    with torch.device("meta"):
        skeleton = type(base.model)(copy.deepcopy(base.model.config))
    try:
        # Not by PEFT's low_cpu_mem_usage: it changes torch for all threads.
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # PEFT's advice is for those who train
            inject_adapter_in_model(LoraConfig(**plain), skeleton)
    except Exception as e:  # settings that PEFT does not take, or that fit no module, fail in many ways
        raise ParetoError(
            f"{folder}: its settings do not fit {base.name}: {str(e).splitlines()[0] or type(e).__name__}"
        ) from None
    out = {}
    shared = _shared_weights(base)
    for name, layer in skeleton.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        if type(layer.get_base_layer()) is not torch.nn.Linear:
            kind = type(layer.get_base_layer()).__name__
            raise ParetoError(f"{folder}: cannot be mixed exactly: {name!r} is a {kind}, not a linear module")
        if name in shared:
            raise ParetoError(
                f"{folder}: cannot be mixed exactly: {base.name} shares the weight of {name!r} with another module"
            )
        scale = float(layer.scaling["default"])
        if not math.isfinite(scale):
            raise ParetoError(f"{folder}: its alpha for {name!r} is not finite")
        out[name] = (int(layer.r["default"]), scale)
    return out


def _shared_weights(base: Base) -> set[str]:
    """Modules whose weight is another module's too, as a head tied to the embeddings: an update would change both."""
    owners: dict[int, list[str]] = {}
    for name, parameter in base.model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name.removesuffix(".weight"))
    return {name for names in owners.values() if len(names) > 1 for name in names}
