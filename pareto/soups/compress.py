"""Smaller factors for an update: truncated SVD, and what it loses in every module.

By Eckart and Young ("The approximation of one matrix by another of lower rank", Psychometrika 1, 1936) no other
update of that rank is nearer in the Frobenius norm. The full matrix is never formed: with B = Qb·Rb and Aᵀ = Qa·Ra,
the singular values of B·A are those of the small Rb·Raᵀ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pareto.training.adapters import State

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """What one module's update lost."""

    module: str
    rank_before: int
    rank: int
    norm: float
    """Frobenius norm of ΔW = s·B·A before."""
    absolute: float
    """Frobenius norm of the part that is gone."""

    @property
    def relative(self) -> float:
        """The part that is gone as a share of the norm, from 0 to 1; 0 for an update of zeros."""
        return self.absolute / self.norm if self.norm else 0.0


def compress(a: State, b: State, rank: int | None, scale: float) -> tuple[State, State, list[Loss]]:
    """The nearest factors of at most a wanted rank; modules that have no more than that stay bit for bit.

    Args:
        a, b: factors per module, A (r, in) and B (out, r), r may differ between modules.
        rank: the wanted rank, at least 1; ``None`` keeps every module as it is.
        scale: s in ΔW = s·B·A, for the units of the losses.

    Returns:
        A with orthonormal rows (where it was cut), B, and a loss per module in the order of ``a``.
    """
    out_a, out_b, losses = dict(a), dict(b), []
    for name in a:
        before = a[name].size(0)
        u, s, vh = singular(a[name], b[name])
        kept = before if rank is None else min(before, rank)
        if kept < before:
            kept = min(kept, len(s))
            out_a[name] = vh[:kept].float().contiguous()
            out_b[name] = (u[:, :kept] * s[:kept]).float().contiguous()
        losses.append(Loss(name, before, kept, abs(scale) * float(s.norm()), abs(scale) * float(s[kept:].norm())))
    return out_a, out_b, losses


def singular(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """SVD of B·A in float64: U (out, k), the singular values (k,) from large to small, Vᵀ (k, in), k ≤ r."""
    import torch

    qb, rb = torch.linalg.qr(b.double())
    qa, ra = torch.linalg.qr(a.double().T)
    u, s, vh = torch.linalg.svd(rb @ ra.T, full_matrices=False)
    return qb @ u, s, vh @ qa.T


def total(losses: Sequence[Loss]) -> float:
    """The relative error of all modules together: the root of Σ absolute² over Σ norm²."""
    norm = math.hypot(*(loss.norm for loss in losses))
    return math.hypot(*(loss.absolute for loss in losses)) / norm if norm else 0.0
