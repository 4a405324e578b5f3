"""All adapters of a run in one place, and the live model carrying any mixture of them.

The live model is written from pristine copies of the base weights each time, so switching never drifts, and
generation runs at the base model's own speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pareto.config import Lora
from pareto.errors import ParetoError
from pareto.training.adapters import State, mix, read_adapter

if TYPE_CHECKING:
    from pareto.models import Base


class Bank:
    """Adapters that share A, and the base model that they are merged into."""

    def __init__(self, base: Base, lora: Lora, a: State) -> None:
        self.base, self.a = base, a
        self.scale = lora.alpha / lora.rank
        self.adapters: dict[str, State] = {}
        self.modules = {name: base.model.get_submodule(name) for name in a}
        self.pristine = {name: module.weight.detach().clone() for name, module in self.modules.items()}
        self.merged: dict[str, float] = {}

    def add(self, name: str, folder: Path) -> None:
        """Load an adapter.

        Raises:
            ParetoError: of another base model, or with another A.
        """
        import torch

        a, b = read_adapter(folder, self.base)
        if a.keys() != self.a.keys() or any(not torch.equal(a[k], self.a[k]) for k in a):
            raise ParetoError(f"{folder}: this adapter does not share the run's A and cannot join its bank")
        self.adapters[name] = b

    def mixture(self, coefficients: Mapping[str, float]) -> State:
        """The B of a soup: Σ λ·B.

        Raises:
            ParetoError: an adapter that is not in the bank.
        """
        unknown = [name for name in coefficients if name not in self.adapters]
        if unknown:
            raise ParetoError(f"no adapter '{unknown[0]}' in this run; there are: {', '.join(sorted(self.adapters))}")
        return mix([(weight, self.adapters[name]) for name, weight in coefficients.items()])

    def merge(self, coefficients: Mapping[str, float]) -> None:
        """Make the live model the soup with these coefficients; empty or all zero: the base model."""
        import torch

        wanted = {name: weight for name, weight in coefficients.items() if weight != 0}
        if wanted == self.merged:
            return
        b = self.mixture(wanted) if wanted else None
        with torch.no_grad():
            for name, module in self.modules.items():
                weight, pristine = module.weight, self.pristine[name]
                if b is None:
                    weight.copy_(pristine)
                else:
                    update = (b[name] @ self.a[name]).to(weight.device)
                    weight.copy_(torch.add(pristine, update, alpha=self.scale))
        self.merged = wanted
