"""Per-row mode: every row of a batch carries its own soup, over base weights that stay as they are.

For row i a hook on each adapted module adds ``scale · Σ_k λ_ik · B_k A_k x``. The product with A is computed once
for all adapters that share it, the rows' coefficients weight it, and one product with the concatenated B closes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pareto.models import Base
    from pareto.training.adapters import State


@dataclass(frozen=True)
class Columns:
    """What a module's columns of B stand for."""

    take: tuple[int, ...]
    """The row of the concatenated A that each multiplies."""
    owner: tuple[int, ...]
    """The adapter, as an index, whose coefficient each carries."""


@dataclass(frozen=True)
class Factors:
    """A module's factors of several adapters side by side, where the model is and in its dtype."""

    a: Tensor
    """(width of A x, in): the shared A once, then each adapter's own."""
    b: Tensor
    """(columns, out): one B after the other, transposed."""
    columns: Columns


def concatenate(
    base: Base, names: Sequence[str], shared_a: State, adapters: Mapping[str, State], own: Mapping[str, State]
) -> dict[str, Factors]:
    """The factors of the named adapters per module.

    Args:
        base: says the device and the dtype.
        names: the adapters; a column's owner is an index into them.
        shared_a: module → A of the adapters that are not in ``own``.
        adapters: name → module → B.
        own: name → module → A of adapters that have their own.
    """
    import torch

    modules = dict.fromkeys(module for name in names for module in adapters[name])
    out: dict[str, Factors] = {}
    for module in modules:
        a: list[Tensor] = []
        b: list[Tensor] = []
        take: list[int] = []
        owner: list[int] = []
        sharing = [name for name in names if name not in own and module in adapters[name]]
        width = 0
        # Those that share A stand first, over the same rows of A.
        for name in [*sharing, *(name for name in names if name in own and module in adapters[name])]:
            factor = own[name][module] if name in own else shared_a[module]
            if name in own or name == sharing[0]:
                a.append(factor)
                width += factor.size(0)
            b.append(adapters[name][module])
            take += range(width - factor.size(0), width)
            owner += [names.index(name)] * factor.size(0)
        like = base.model.get_submodule(module).weight
        out[module] = Factors(
            torch.cat(a).to(like.device, like.dtype),
            torch.cat(b, 1).t().to(like.device, like.dtype).contiguous(),
            Columns(tuple(take), tuple(owner)),
        )
    return out


class PerRow:
    """The rows of the batch that is being computed, and what each carries."""

    def __init__(self, policies: Sequence[object], coefficients: Tensor, layouts: Collection[Columns]) -> None:
        """Start with one row per policy.

        Args:
            policies: something hashable for each row; rows with equal ones carry the same soup.
            coefficients: (rows, adapters), the scale in them, where the model is and in its dtype.
            layouts: of the modules.
        """
        import torch

        self.policies = tuple(policies)
        self.coefficients = coefficients
        at = coefficients.device
        self.take = {c: torch.tensor(c.take, device=at) for c in layouts}
        self.owner = {c: torch.tensor(c.owner, device=at) for c in layouts}
        self._spread()

    def keep(self, index: torch.Tensor | Sequence[int]) -> None:
        """Make the batch these rows of what it is now, in this order; a row may be left out or repeated."""
        import torch

        at = torch.as_tensor(index, dtype=torch.long, device=self.coefficients.device)
        self.coefficients = self.coefficients[at]
        self._spread()

    def _spread(self) -> None:
        # (rows, 1, columns): the middle one is for the tokens of a row.
        self.weights = {c: self.coefficients[:, None, owner] for c, owner in self.owner.items()}

    def add(self, factors: Factors, x: Tensor, output: Tensor) -> None:
        """Add the rows' updates to a module's output (rows, tokens, out) for its input x (rows, tokens, in)."""
        hidden = (x @ factors.a.t())[..., self.take[factors.columns]] * self.weights[factors.columns]
        output.view(-1, output.size(-1)).addmm_(hidden.view(-1, hidden.size(-1)), factors.b)


@contextmanager
def attached(base: Base, factors: Mapping[str, Factors], rows: PerRow) -> Iterator[PerRow]:
    """Inside, the live model's forward passes carry the rows' soups."""

    def hook(of: Factors) -> Any:
        return lambda _module, inputs, output: rows.add(of, inputs[0], output)

    hooks = [base.model.get_submodule(name).register_forward_hook(hook(of)) for name, of in factors.items()]
    try:
        yield rows
    finally:
        for handle in hooks:
            handle.remove()
