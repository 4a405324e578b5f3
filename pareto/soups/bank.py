"""All adapters of a run in one place, and the live model carrying any mixture of them.

*Merged*, the live model is written from pristine copies of the base weights each time, so switching never drifts,
and generation runs at the base model's own speed. *Per row*, the weights stay the base's and every row of a batch
carries its own soup. Adapters that share the run's A mix in B; one from elsewhere keeps its own A beside it, so that
every soup is exact: [B, λ₁B₁] [A; A₁] = B A + λ₁ B₁ A₁.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pareto.config import Lora, Sampling
from pareto.errors import ParetoError
from pareto.soups.draw import Way, draw_soups
from pareto.soups.per_row import Factors, PerRow, attached, concatenate
from pareto.training.adapters import State, mix, read_adapter

if TYPE_CHECKING:
    from torch import Tensor

    from pareto.models import Base
    from pareto.rollouts.sampling import Drawn, Request


class Bank:
    """The adapters of a run by name, and the base model that carries their soups.

    One bank per live model: it takes the weights that it finds for the base's.
    """

    def __init__(self, base: Base, lora: Lora, a: State) -> None:
        """Start without adapters.

        Args:
            base: the live model, nothing merged into it.
            lora: rank and alpha of the run: every adapter's update is alpha/rank · B A.
            a: the A that the run's own adapters share.
        """
        self.base, self.a = base, a
        self.scale = lora.alpha / lora.rank
        self.adapters: dict[str, State] = {}
        """Name → B."""
        self.own: dict[str, State] = {}
        """Name → A, of those that do not share the run's."""
        self.modules = {name: base.model.get_submodule(name) for name in a}
        self.pristine = {name: module.weight.detach().clone() for name, module in self.modules.items()}
        self.merged: dict[str, float] | None = {}
        """What the live model carries; ``None`` while it is being written."""
        self.changed: set[str] = set()
        """Modules that do not have the base's weights."""
        self.lock = threading.RLock()
        self._process = os.getpid()
        self._factors: dict[tuple[str, ...], dict[str, Factors]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters in the order of joining."""
        return tuple(self.adapters)

    def add(self, name: str, folder: Path) -> None:
        """Load an adapter whose update is in the run's scale; one with another A keeps it.

        Raises:
            ParetoError: damaged, of another base model, or on the embeddings; the bank is then as it was.
        """
        import torch

        a, b = read_adapter(folder, self.base)
        if not all(bool(torch.isfinite(factor).all()) for state in (a, b) for factor in state.values()):
            raise ParetoError(f"{folder}: adapter_model.safetensors is damaged: it holds numbers that are not finite")
        embeddings = self.base.model.get_input_embeddings().weight
        modules = {k: self.base.model.get_submodule(k) for k in a}
        tied = [k for k, module in modules.items() if module.weight is embeddings]
        if tied:
            raise ParetoError(f"{folder}: it adapts '{tied[0]}', whose weights are also {self.base.name}'s embeddings")
        with self.lock:
            if self.merged is None or name in self.merged:
                self.merge({})
            for key in modules.keys() - self.modules.keys():
                self.modules[key], self.pristine[key] = modules[key], modules[key].weight.detach().clone()
            shares = a.keys() == self.a.keys() and all(torch.equal(a[k], self.a[k]) for k in a)
            self.own.pop(name, None)
            if not shares:
                self.own[name] = a
            self.adapters[name] = b
            self._factors.clear()

    def vector(self, lam: Sequence[float], names: Sequence[str] | None = None) -> dict[str, float]:
        """Coefficients by name from numbers in the order of ``names`` (else of joining), zeros left out.

        Raises:
            ParetoError: as many numbers as names are wanted, finite, of adapters that are there.
        """
        names = self.names if names is None else names
        if len(lam) != len(names):
            raise ParetoError(f"{len(lam)} coefficients for {len(names)} adapters: {', '.join(names)}")
        return self._checked(dict(zip(names, map(float, lam), strict=True)))

    def _checked(self, coefficients: Mapping[str, float]) -> dict[str, float]:
        """The coefficients that are not zero, in an order that is the same for the same soup."""
        for name, value in coefficients.items():
            if name not in self.adapters:
                raise ParetoError(f"no adapter '{name}' in this run; there are: {', '.join(sorted(self.adapters))}")
            if not math.isfinite(value):
                raise ParetoError(f"the coefficient of '{name}' is {value}; it must be a finite number")
        return {name: value for name, value in sorted(coefficients.items()) if value != 0}

    def mixture(self, coefficients: Mapping[str, float]) -> State:
        """The B of a soup over the shared A: Σ λ·B.

        Raises:
            ParetoError: an adapter that is not in the bank or has its own A; a coefficient that is not finite.
        """
        wanted = self._checked(coefficients)
        foreign = [name for name in wanted if name in self.own]
        if foreign:
            raise ParetoError(f"'{foreign[0]}' does not share the run's A: a soup with it has no B over that A")
        return self._sum(wanted)

    def _sum(self, wanted: Mapping[str, float]) -> State:
        import torch

        if wanted:
            return mix([(value, self.adapters[name]) for name, value in wanted.items()])
        return {k: torch.zeros(self.modules[k].out_features, a.size(0)) for k, a in self.a.items()}

    def update(self, coefficients: Mapping[str, float]) -> tuple[State, State]:
        """(A, B) of the soup, exact: ΔW = alpha/rank · B A.

        The shared A alone where nothing foreign is in it; else, for each module that it touches, the factors side by
        side: [A; A₁; …] and [Σ λB, λ₁B₁, …].

        Raises:
            ParetoError: an adapter that is not in the bank; a coefficient that is not finite.
        """
        import torch

        wanted = self._checked(coefficients)
        foreign = {name: value for name, value in wanted.items() if name in self.own}
        sharing = {name: value for name, value in wanted.items() if name not in foreign}
        if not foreign:
            return self.a, self._sum(sharing)
        parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
        if sharing:
            parts = {k: [(self.a[k], b)] for k, b in self._sum(sharing).items()}
        for name, value in foreign.items():
            for k, b in self.adapters[name].items():
                parts.setdefault(k, []).append((self.own[name][k], value * b))
        return (
            {k: torch.cat([a for a, _ in pairs]) for k, pairs in parts.items()},
            {k: torch.cat([b for _, b in pairs], 1) for k, pairs in parts.items()},
        )

    def merge(self, coefficients: Mapping[str, float]) -> None:
        """Make the live model the soup with these coefficients; empty or all zero: the base model.

        Raises:
            ParetoError: see ``update``; or the weights are shared with the process that made this bank.
        """
        import torch

        wanted = self._checked(coefficients)
        if os.getpid() != self._process and any(m.weight.is_shared() for m in self.modules.values()):
            raise ParetoError(
                f"the live model belongs to process {self._process}, which shares its memory with this one "
                f"({os.getpid()}); load the model in each process that mixes"
            )
        with self.lock, torch.no_grad():
            if wanted == self.merged:
                return
            a, b = self.update(wanted) if wanted else ({}, {})
            self.merged = None
            for name in self.changed - a.keys():
                self.modules[name].weight.copy_(self.pristine[name])
            self.changed |= a.keys()
            for name in a:
                _write(self.modules[name].weight, self.pristine[name], a[name], b[name], self.scale)
            self.changed = set(a)
            self.merged = wanted

    @contextmanager
    def policy(self, coefficients: Mapping[str, float]) -> Iterator[None]:
        """Inside, the live model is this soup for this thread alone; others that ask for one wait.

        The weights stay merged afterwards: most often the same soup is asked for again.

        Raises:
            ParetoError: see ``merge``.
        """
        with self.lock:
            self.merge(coefficients)
            yield

    @contextmanager
    def rows(self, coefficients: Sequence[Mapping[str, float]]) -> Iterator[PerRow]:
        """Inside, the i-th row of each forward pass carries the soup with the i-th coefficients; other threads wait.

        Yields:
            What the rows carry; ``keep`` follows a batch whose rows are left out or repeated.

        Raises:
            ParetoError: see ``merge``.
        """
        import torch

        wanted = [self._checked(c) for c in coefficients]
        with self.lock:
            self.merge({})
            used = set().union(*wanted)
            names = tuple(name for name in self.names if name in used)
            if names not in self._factors:
                self._factors = {names: concatenate(self.base, names, self.a, self.adapters, self.own)}
            factors = self._factors[names]
            values = torch.tensor([[self.scale * c.get(name, 0.0) for name in names] for c in wanted])
            values = values.to(self.base.device, self.base.model.dtype)
            policies = [tuple(c.items()) for c in wanted]
            rows = PerRow(policies, values, {f.columns for f in factors.values()})
            with attached(self.base, factors, rows):
                yield rows

    def draw(
        self,
        requests: Sequence[Request],
        coefficients: Sequence[Mapping[str, float]],
        sampling: Sampling,
        way: Way = "auto",
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Drawn]:
        """One completion per request, the i-th from the soup with the i-th coefficients.

        Args:
            requests: in any order.
            coefficients: as many as requests.
            sampling: as for ``rollouts.sampling.draw``.
            way: ``merged`` writes the weights once per soup, ``per_row`` computes all soups in one batch; both give
                the same completions but for rounding. ``auto`` takes what costs less.
            progress: called with the number of completions finished since the last call.

        Returns:
            In the order of the requests.

        Raises:
            ParetoError: see ``merge``.
        """
        wanted = [self._checked(c) for c in coefficients]
        return draw_soups(self, requests, wanted, sampling, way, progress)


def _write(weight: Tensor, pristine: Tensor, a: Tensor, b: Tensor, scale: float) -> None:
    """weight := pristine + scale · B A, rounded once."""
    import torch

    a, b = a.to(weight.device), b.to(weight.device)
    if weight.dtype == torch.float32:
        torch.addmm(pristine, b, a, alpha=scale, out=weight)
    else:
        weight.copy_(pristine.float().addmm_(b, a, alpha=scale))
