"""Which of the prompts that were learned from a new one is like, and whether it is like any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pareto.inference.auto_weights.regression import Floats, Integers

NEIGHBOURS = 10
"""Whose types are told."""
SHOWN = 3
"""Of them with their text."""
STRANGE = 0.05
"""Share of prompts of the kinds learned from that are called unfamiliar."""


@dataclass(frozen=True)
class Neighbour:
    """A prompt that was learned from."""

    prompt: str
    source: str
    similarity: float
    """Cosine of the features."""


@dataclass(frozen=True, eq=False)
class Familiar:
    """The n prompts that were learned from."""

    x: Floats
    """Features of length 1, (n, d)."""
    texts: Sequence[str]
    sources: Sequence[str]
    groups: Integers
    """Near-duplicates share one, (n,)."""

    @cached_property
    def closeness(self) -> Floats:
        """Of each to the nearest that is no near-duplicate, (n,)."""
        similar = self.x @ self.x.T
        similar[self.groups[:, None] == self.groups] = -1.0
        return np.asarray(similar.max(axis=1))

    def p_value(self, x: Floats) -> Floats:
        """Chance that a prompt of the same kinds is as far from all of them, for features (q, d): (q,).

        Conformal (Vovk et al. 2005, "Algorithmic Learning in a Random World"): right for any features, as long as
        prompts are exchangeable.
        """
        nearest = (x @ self.x.T).max(axis=1)
        return np.asarray((1 + (self.closeness <= nearest[:, None]).sum(axis=1)) / (1 + len(self.x)))

    def strange(self, x: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which prompts are unlike all of them, for features (q, d): (q,)."""
        return np.asarray(self.p_value(x) <= STRANGE)

    def nearest(self, x: Floats) -> tuple[list[Neighbour], dict[str, int]]:
        """The nearest prompts to features (d,), and how many of the nearest ``NEIGHBOURS`` are of each type."""
        similar = x @ self.x.T
        order = np.argsort(-similar, kind="stable")[:NEIGHBOURS]
        found = [Neighbour(self.texts[i], self.sources[i], float(similar[i])) for i in order]
        return found[:SHOWN], dict(Counter(n.source for n in found).most_common())
