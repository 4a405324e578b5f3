"""The adapters: one frozen A for all of a run, one B each, kept as plain PEFT folders.

With A shared, ΔW of a mixture is the mixture of the B (DESIGN: averaging B *is* averaging ΔW), so a soup is
again an adapter of the same rank.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.config import Lora
from pareto.errors import ParetoError
from pareto.store.files import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from torch import Tensor

    from pareto.models import Base

FACTOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")
"""A tensor's name in PEFT's adapter file."""
State = dict[str, "Tensor"]
"""Module name → factor: ``model.layers.3.self_attn.q_proj`` → A (r, in) or B (out, r), float32 on the CPU."""


def first_layer(base: Base, lora: Lora) -> int:
    """Index of the lowest adapted layer.

    Raises:
        ParetoError: the recipe adapts more layers than the model has.
    """
    count = int(base.model.config.num_hidden_layers)
    if lora.layers is not None and lora.layers > count:
        raise ParetoError(f"training.lora.layers: {lora.layers} is more than the {count} layers of {base.name}")
    return count - (lora.layers or count)


def lora_config(base: Base, lora: Lora) -> LoraConfig:
    """PEFT's configuration of every adapter of a run."""
    from peft import LoraConfig

    count = int(base.model.config.num_hidden_layers)
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT divides; a float is as good
        target_modules=list(lora.target_modules),
        layers_to_transform=list(range(first_layer(base, lora), count)) if lora.layers else None,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base.model.name_or_path,
    )


def shared_a(base: Base, lora: Lora, seed: int) -> State:
    """The A of every adapter of a run, drawn as PEFT draws it (Kaiming uniform, a = √5), from the run's seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    out: State = {}
    for name, module in adapted(base, lora).items():
        out[name] = torch.empty(lora.rank, module.in_features)
        torch.nn.init.kaiming_uniform_(out[name], a=5**0.5, generator=generator)
    return out


def adapted(base: Base, lora: Lora) -> dict[str, Any]:
    """The modules that a run's adapters change, by name.

    Raises:
        ParetoError: the model has none of the recipe's names, or not so many layers.
    """
    wanted = set(lora.target_modules)
    lowest = first_layer(base, lora)
    modules = base.model.named_modules()
    out = {name: m for name, m in modules if name.rsplit(".", 1)[-1] in wanted and layer_of(name) >= lowest}
    if not out:
        raise ParetoError(f"training.lora.target_modules: {base.name} has no module named {', '.join(sorted(wanted))}")
    return out


def layer_of(module: str) -> int:
    """The layer's index in a module name such as ``model.layers.3.mlp.up_proj``."""
    return next((int(part) for part in module.split(".") if part.isdigit()), -1)


def hash_state(state: State) -> str:
    """Hash of the factors' exact bits."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].numpy().tobytes())
    return digest.hexdigest()[:16]


def put(model: PeftModel, a: State, b: State | None) -> None:
    """Write A, and B where given (else zeros), into a PEFT model's adapter."""
    from peft import set_peft_model_state_dict

    state = {f"base_model.model.{k}.lora_A.weight": v for k, v in a.items()}
    for name, factor in (b or {}).items():
        state[f"base_model.model.{name}.lora_B.weight"] = factor
    result: Any = set_peft_model_state_dict(model, state)
    missing = [] if b is None else [k for k in result.missing_keys if "lora_" in k]
    if result.unexpected_keys or missing:
        raise ParetoError(f"the adapter does not fit the model: {(list(result.unexpected_keys) + missing)[0]}")


def freeze_a(model: Any) -> None:
    """Take A out of training. Call after the trainer is built: PEFT thaws it when adapters are switched."""
    for name, parameter in model.named_parameters():
        if ".lora_A." in name:
            parameter.requires_grad_(False)


def take(model: PeftModel) -> tuple[State, State]:
    """Read (A, B) out of a PEFT model."""
    from peft import get_peft_model_state_dict

    a: State = {}
    b: State = {}
    for key, value in get_peft_model_state_dict(model).items():
        name, factor = key.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".", 1)
        (a if factor == "lora_A" else b)[name] = value.detach().float().cpu().clone()
    return a, b


def write_adapter(out: Path, base: Base, lora: Lora, a: State, b: State, made_from: dict[str, Any]) -> None:
    """Fill a folder with a PEFT adapter that plain PEFT loads, and ``pareto.json`` that says what made it.

    The update is the run's alpha/rank · B A whatever the ranks. Where they are not the recipe's, all are brought to
    the largest with zeros: not everything that reads PEFT's files knows a rank per module.
    """
    from safetensors.torch import save

    config = lora_config(base, lora)
    rank = max(factor.size(0) for factor in a.values())
    if any(factor.size(0) != lora.rank for factor in a.values()):
        a = {k: _padded(v, 0, rank) for k, v in a.items()}
        b = {k: _padded(v, 1, rank) for k, v in b.items()}
        config.r, config.lora_alpha = rank, lora.alpha * rank / lora.rank  # type: ignore[assignment]
    if a.keys() != adapted(base, lora).keys():
        config.target_modules, config.layers_to_transform = sorted(a), None
    state = {f"base_model.model.{k}.lora_A.weight": v.contiguous() for k, v in a.items()}
    state |= {f"base_model.model.{k}.lora_B.weight": v.contiguous() for k, v in b.items()}
    write_bytes(out / "adapter_model.safetensors", save(state, metadata={"format": "pt"}))
    config.base_model_name_or_path = base.name
    config.inference_mode = True
    config.save_pretrained(str(out))
    write_json(out / "pareto.json", {"base": base.fingerprint, "a": hash_state(a), **made_from})


def read_adapter(folder: Path, base: Base) -> tuple[State, State]:
    """Read (A, B) of an adapter folder of this base.

    Raises:
        ParetoError: not an adapter of ours, damaged, or of another base model.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / "adapter_model.safetensors").is_file():
        raise ParetoError(f"{folder}: no adapter_model.safetensors here")
    if (folder / "pareto.json").is_file():
        made_for = read_json(folder / "pareto.json").get("base")
        if made_for != base.fingerprint:
            raise ParetoError(
                f"{folder}: this adapter was trained on another base model (hash {made_for}) than {base.name} "
                f"(hash {base.fingerprint})"
            )
    try:
        tensors = load_file(folder / "adapter_model.safetensors")
    except SafetensorError as e:
        raise ParetoError(f"{folder}: adapter_model.safetensors is damaged: {e}") from None
    a: State = {}
    b: State = {}
    for key, value in tensors.items():
        match = FACTOR.fullmatch(key)
        if match is None:
            raise ParetoError(f"{folder}: {key!r} is no factor of a LoRA adapter")
        # They lie in a memory map: a file that somebody writes over would end the process (SIGBUS).
        (a if match["factor"] == "A" else b)[match["module"]] = value.to(torch.float32, copy=True)
    modules = dict(base.model.named_modules())
    for name in a | b:
        weight = getattr(modules.get(name), "weight", None)
        if weight is None or name not in a or name not in b or not _fits(a[name], b[name], tuple(weight.shape)):
            raise ParetoError(f"{folder}: its factors for {name!r} do not fit {base.name}")
    return a, b


def _fits(a: Tensor, b: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether B·A is an update of a matrix of this shape."""
    return a.dim() == b.dim() == 2 and (b.size(0), a.size(1)) == shape and a.size(0) == b.size(1)


def _padded(factor: Tensor, dim: int, size: int) -> Tensor:
    """The factor with zeros up to this size along a dimension."""
    import torch

    shape = list(factor.shape)
    shape[dim] = size - shape[dim]
    return torch.cat([factor, factor.new_zeros(shape)], dim)


def mix(parts: list[tuple[float, State]]) -> State:
    """Σ λ·B over adapters that share A."""
    names = list(parts[0][1])
    return {name: sum(weight * b[name] for weight, b in parts) for name in names}  # type: ignore[misc]
