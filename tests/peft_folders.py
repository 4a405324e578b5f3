"""PEFT adapters of the tiny model as somebody else would have made them, and what PEFT itself computes with them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pareto.models import Base

IDS = torch.tensor([[1, 40, 41, 99, 100, 7, 200, 3]])


def fresh(base: Base) -> Any:
    """The base model once more, for PEFT to change."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32).eval()


def elsewhere(base: Base, folder: Path, seed: int = 0, **settings: Any) -> Path:
    """Save a LoRA with these settings, every factor random, by PEFT alone."""
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's advice on odd settings
        model = get_peft_model(fresh(base), LoraConfig(task_type="CAUSAL_LM", **settings))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    return folder


def peft_logits(base: Base, folder: Path) -> torch.Tensor:
    """What PEFT says of the adapter."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(fresh(base), str(folder)).eval()
    with torch.no_grad():
        return model(IDS).logits


def logits_with(base: Base, updates: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of the base with updates added to its matrices."""
    model = fresh(base)
    with torch.no_grad():
        for name, update in updates.items():
            model.get_submodule(name).weight.add_(update)
        return model(IDS).logits
