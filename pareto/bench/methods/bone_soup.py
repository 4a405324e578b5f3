"""Bone Soup (Xie et al., ACL 2025): train backbones on mixed rewards, then solve for the coefficients.

Backbone k is trained at weights B_k with β on its own objective and the rest shared among the others. The soup for
preference μ has the λ for which Bᵀλ = μ; it may leave the simplex.
"""

from __future__ import annotations

from pareto.bench.methods.lab import Lab, Method
from pareto.soups.weights import axes_weights, mixed_to

PAPER = "Xie et al., Bone Soups, ACL 2025"
BETA = 0.7
"""The middle one of the paper's 0.6, 0.7 and 0.8."""


def bone_soup(lab: Lab) -> Method:
    """As many adapters and steps as there are experts."""
    m = len(lab.experts)
    mixing = axes_weights(m, BETA)
    names = [lab.train(f"backbone-{n}", row.tolist()) for n, row in zip(lab.bench.recipe.names, mixing, strict=True)]
    entries = [lab.soup(w, dict(zip(names, mixed_to(w, mixing).tolist(), strict=True))) for w in lab.coarse]
    return Method(f"Bone Soup (β = {BETA})", PAPER, entries, lab.steps * m)
