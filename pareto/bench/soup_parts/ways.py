"""The ways to put a soup into a live model that ``pareto bench soup`` times: the bank's two, and PEFT's.

PEFT's ways work on a copy of the base model, so that neither side pays for what the other left in it. They keep
PEFT's defaults: adapters in float32, also beside a bfloat16 model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pareto.config import Lora
from pareto.models import Base
from pareto.soups.bank import Bank
from pareto.training.adapters import State, shared_a, write_adapter

if TYPE_CHECKING:
    from torch import Tensor

Soup = Mapping[str, float]
"""Adapter → λ."""


class Way(Protocol):
    """One way to carry a soup."""

    base: Base
    """Whose model generates as the soup after ``switch``."""

    def switch(self, soup: Soup) -> None:
        """Change λ, from whatever soup it carries now."""

    def clear(self) -> None:
        """Put the base model's own weights back; not timed."""


def endless(base: Base) -> Base:
    """The same live model, no completion of which ever ends: every policy then generates equally many tokens.

    ``draw`` reads no more of a tokenizer than these two ids.
    """
    ids: Any = SimpleNamespace(pad_token_id=base.tokenizer.pad_token_id, eos_token_id=-1)
    return replace(base, tokenizer=ids)


@dataclass
class Adapters:
    """Random adapters that share A, on the disk as a run keeps them."""

    lora: Lora
    a: State
    folders: dict[str, Path]
    """Adapter → its folder."""
    b: dict[str, State]
    """Adapter → its B, for the reference."""

    def reference(self, module: str, soup: Soup) -> Tensor:
        """ΔW of a soup at one module (out, in), in float64."""
        a = self.a[module].double()
        update = sum(weight * (self.b[name][module].double() @ a) for name, weight in soup.items())
        return self.lora.alpha / self.lora.rank * update  # type: ignore[return-value]


def make_adapters(base: Base, lora: Lora, count: int, folder: Path, seed: int) -> Adapters:
    """Write ``count`` adapters below ``folder``; B is normal with a deviation of 0.01, so that text stays text.

    How long anything takes does not depend on the values.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    made = Adapters(lora, shared_a(base, lora, seed), {}, {})
    for k in range(count):
        name = f"expert-{k}"
        made.b[name] = {
            module: torch.randn(base.model.get_submodule(module).out_features, lora.rank, generator=generator) / 100
            for module in made.a
        }
        made.folders[name] = folder / name
        made.folders[name].mkdir(parents=True)
        write_adapter(made.folders[name], base, lora, made.a, made.b[name], {})
    return made


def error(way: Way, module: str, pristine: Tensor, reference: Tensor) -> tuple[float, float]:
    """How far the update that a module carries is from the reference, relative, and how far rounding alone takes it.

    The module is asked for its matrix as anybody would: it is shown the identity.

    Args:
        way: after ``switch``; per-row ways with one row.
        module: its name.
        pristine: (out, in) the base model's weights.
        reference: (out, in) float64, what the update ought to be.

    Returns:
        ‖ΔW − reference‖ / ‖reference‖, and the same of the float64 soup rounded to the model's dtype.
    """
    import torch

    eye = torch.eye(pristine.size(1), dtype=pristine.dtype, device=pristine.device)
    with torch.inference_mode():
        matrix = way.base.model.get_submodule(module)(eye[None])[0].T
    ideal = pristine.cpu().double() + reference
    norm = reference.norm()
    rounded = ideal.to(pristine.dtype).double()
    return float((matrix.cpu().double() - ideal).norm() / norm), float((rounded - ideal).norm() / norm)


class Merged:
    """Ours: written into the live model from pristine weights."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.base = bank, bank.base

    def switch(self, soup: Soup) -> None:
        """See ``Way``."""
        self.bank.merge(soup)

    def clear(self) -> None:
        """See ``Way``."""
        self.bank.merge({})


class PerRow:
    """Ours: every row of a forward pass carries its own λ (here all the same)."""

    def __init__(self, bank: Bank, rows: int) -> None:
        self.bank, self.base, self.rows = bank, bank.base, rows
        self.open = ExitStack()

    def switch(self, soup: Soup) -> None:
        """See ``Way``."""
        self.open.close()
        self.open.enter_context(self.bank.rows([soup] * self.rows))

    def clear(self) -> None:
        """See ``Way``."""
        self.open.close()


class PeftNew:
    """PEFT's ``add_weighted_adapter``: a new adapter for every λ, made active, the one before it deleted."""

    def __init__(self, peft: Peft, kind: Literal["cat", "linear", "svd"]) -> None:
        self.model, self.base, self.names, self.kind = peft.model, peft.base, peft.names, kind
        # Below the sum of the ranks a truncated SVD is no longer exact.
        self.options = {"svd_rank": sum(c.r for c in peft.model.peft_config.values())} if kind == "svd" else {}
        self.count = 0

    def switch(self, soup: Soup) -> None:
        """See ``Way``."""
        before, self.count = self._name, self.count + 1
        self.model.add_weighted_adapter(
            list(soup), list(soup.values()), self._name, combination_type=self.kind, **self.options
        )
        self.model.set_adapter(self._name, inference_mode=True)
        if before in self.model.peft_config:
            self.model.delete_adapter(before)

    def clear(self) -> None:
        """See ``Way``; another soup follows at once, so the first adapter may stay active."""
        self.model.set_adapter(self.names[0], inference_mode=True)
        self.model.delete_adapter(self._name)

    @property
    def _name(self) -> str:
        return f"soup-{self.count}"


class PeftInPlace:
    """PEFT with every adapter active, each scaled in every layer: nothing is made, every layer computes all of them."""

    def __init__(self, peft: Peft) -> None:
        self.model, self.base, self.names, self.layers = peft.model, peft.base, peft.names, [*peft.layers.values()]

    def switch(self, soup: Soup) -> None:
        """See ``Way``."""
        if self.model.base_model.active_adapters != self.names:
            self.model.base_model.set_adapter(self.names, inference_mode=True)
        for layer in self.layers:
            for name, weight in soup.items():
                layer.set_scale(name, weight)

    def clear(self) -> None:
        """See ``Way``; the adapters get their own scale back, which the other ways read."""
        self.switch(dict.fromkeys(self.names, 1.0))
        self.model.base_model.set_adapter(self.names[0], inference_mode=True)


class PeftMerged:
    """The same, merged: PEFT subtracts the last soup from the live weights and adds the next, so roundings pile up."""

    def __init__(self, peft: Peft) -> None:
        self.inner, self.base, self.peft = PeftInPlace(peft), peft.base, peft
        self.merged = False

    def switch(self, soup: Soup) -> None:
        """See ``Way``."""
        if self.merged:
            self.peft.model.unmerge_adapter()
        self.inner.switch(soup)
        self.peft.model.merge_adapter()
        self.merged = True

    def clear(self) -> None:
        """See ``Way``."""
        self.peft.model.unmerge_adapter()
        self.peft.restore()
        self.inner.clear()
        self.merged = False


class Peft:
    """A copy of the base model, and PEFT around it with the adapters loaded."""

    def __init__(self, base: Base) -> None:
        self.source = base
        self.names: list[str] = []
        self.base = replace(base, model=copy.deepcopy(base.model))
        self.model: Any = None
        """PEFT's; there is none without an adapter."""

    def add(self, name: str, folder: Path) -> None:
        """Load one adapter."""
        from peft import PeftModel

        if self.model is None:
            self.model = PeftModel.from_pretrained(self.base.model, folder, adapter_name=name)
            self.model.eval()
        else:
            self.model.load_adapter(folder, name)
        self.names.append(name)

    @property
    def layers(self) -> dict[str, Any]:
        """Module → PEFT's layer around it, of those that carry adapters."""
        from peft.tuners.lora import LoraLayer

        return {name: module for name, module in self.base.model.named_modules() if isinstance(module, LoraLayer)}

    def restore(self) -> None:
        """Copy the base model's weights back; its live model must carry no soup."""
        import torch

        with torch.no_grad():
            for module, layer in self.layers.items():
                layer.get_base_layer().weight.copy_(self.source.model.get_submodule(module).weight)
