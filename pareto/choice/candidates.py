"""The policies that a choice is made among, with the scores of all on the same prompts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pareto.choice.bounds import Floats, lower_bounds
from pareto.config import Objective
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.front.statistics import prompt_means
from pareto.frontier import per_prompt, read_frame
from pareto.objectives.catalogue import CATALOGUE
from pareto.records import Split
from pareto.store.points import load_points
from pareto.store.run import Run

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """p policies measured on q prompts in m objectives; what is computed of them once is kept."""

    ids: tuple[str, ...]
    """Of their points, (p,)."""
    scores: Floats
    """(p, q, m) per-prompt scores in the objectives' own units; NaN where one does not apply."""
    frame: Frame
    """Directions and units."""
    lowest: Floats
    """(m,) the least score that one prompt can have, in own units."""
    highest: Floats
    """(m,) the greatest."""
    _bounds: dict[tuple[int, float], Floats] = field(default_factory=dict, init=False, repr=False)
    _pairs: dict[tuple[int, float], Floats] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, run: Run, split: Split = "validation", ids: Collection[str] | None = None) -> Candidates:
        """The policies of a run that are measured on a split, sorted by id.

        What one prompt's score can be is what the recipe declares, else what its reward of the catalogue declares,
        else what any policy of the run showed on any prompt of the split.

        Args:
            run: a run that has points.
            split: "validation" to choose, "test" to confirm.
            ids: which of them; default: all but the base.

        Raises:
            ParetoError: no policy is measured there.
        """
        points = [p for p in load_points(run) if p.split == split]
        chosen = [p.id in ids if ids is not None else p.kind != "base" for p in points]
        if not any(chosen):
            raise ParetoError(f"run '{run.name}' has no policies measured on {split} prompts yet; go on with the sweep")
        scores = np.stack([per_prompt(run, p) for p in points])
        seen = np.fmin.reduce(scores, axis=(0, 1)), np.fmax.reduce(scores, axis=(0, 1))
        declared = np.array([_declared(o) for o in run.recipe.objectives]).T
        lowest, highest = (np.where(np.isfinite(d), d, s) for d, s in zip(declared, seen, strict=True))
        return cls(
            tuple(p.id for p, keep in zip(points, chosen, strict=True) if keep),
            scores[chosen],
            read_frame(run),
            lowest,
            highest,
        )

    def take(self, ids: Collection[str]) -> Candidates:
        """Those of these ids, in the order that they have here."""
        keep = [i in ids for i in self.ids]
        kept = tuple(i for i, k in zip(self.ids, keep, strict=True) if k)
        return Candidates(kept, self.scores[keep], self.frame, self.lowest, self.highest)

    @cached_property
    def means(self) -> Floats:
        """(p, m) over prompts, in own units; NaN where a policy has no score."""
        return np.concatenate([prompt_means(policy, len(policy)) for policy in self.scores])

    @property
    def minimised(self) -> frozenset[str]:
        """Objectives of which less is better."""
        return frozenset(n for n, sign in zip(self.frame.objectives, self.frame.signs, strict=True) if sign < 0)

    def worst(self, k: int, alpha: float) -> Floats:
        """(p,) the mean of objective k is no worse than this, but for a chance of α each; in own units."""
        return self._bound(k, alpha, self.frame.signs[k], self.lowest[k], self.highest[k])

    def finest(self, k: int, alpha: float) -> Floats:
        """(p,) the mean of objective k is no better than this, but for a chance of α each; in own units."""
        return self._bound(k, alpha, -self.frame.signs[k], self.lowest[k], self.highest[k])

    def _bound(self, k: int, alpha: float, sign: float, lowest: float, highest: float) -> Floats:
        key = (k if sign > 0 else ~k, alpha)
        if key not in self._bounds:
            floor = lowest if sign > 0 else -highest
            self._bounds[key] = sign * lower_bounds(sign * self.scores[:, :, k], floor, alpha)
        return self._bounds[key]

    def leads(self, k: int, alpha: float, who: Indices, rivals: Indices) -> Floats:
        """Lower bounds for how much better policies are than others on the same prompts.

        Args:
            k: objective.
            alpha: chance of each that the truth is below.
            who: policies, (a,).
            rivals: others, (b,).

        Returns:
            (a, b), own units, positive where better; 0 for a policy against itself.
        """
        known = self._pairs.setdefault((k, alpha), np.where(np.eye(len(self.ids)) > 0, 0.0, np.nan))
        i, j = (index.ravel() for index in np.meshgrid(who, rivals, indexing="ij"))
        new = np.isnan(known[i, j])
        if new.any():
            floor = self.lowest[k] - self.highest[k]
            known[i[new], j[new]] = lower_bounds(self.differences(k, i[new], j[new]), floor, alpha)
        return known[np.ix_(who, rivals)]

    def differences(self, k: int, i: Indices, j: Indices) -> Floats:
        """(pairs, q) how much better policy i is than j on each prompt, own units."""
        return np.asarray(self.frame.signs[k] * (self.scores[i, :, k] - self.scores[j, :, k]))


def _declared(objective: Objective) -> tuple[float, float]:
    """The range of one score; infinite where nothing is declared."""
    if objective.range is not None:
        return objective.range
    entry = CATALOGUE.get(objective.reward)
    return entry.range if entry else (-np.inf, np.inf)
