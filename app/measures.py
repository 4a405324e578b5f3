"""What the charts say beyond means: ellipses, chances, differences, growth, and another run's front; no Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.front.dominance import nondominated
from pareto.front.frame import Frame
from pareto.front.indicators import hypervolume
from pareto.front.statistics import Interval, paired_difference, prompt_means, resample_means
from pareto.frontier import per_prompt, select
from pareto.records import Point, Split
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Per-prompt scores of all policies on one split."""

    ids: tuple[str, ...]
    scores: Floats
    """(p, q, m), own units, NaN where an objective does not apply."""
    frame: Frame

    @classmethod
    def of(cls, run: Run, split: Split, frame: Frame) -> Table:
        """What a run has measured on a split, sorted by id."""
        points = [p for p in load_points(run) if p.split == split]
        shape = (0, 0, len(frame.objectives))
        scores = np.stack([per_prompt(run, p) for p in points]) if points else np.empty(shape)
        return cls(tuple(p.id for p in points), scores, frame)

    @cached_property
    def covariances(self) -> dict[str, Floats]:
        """Id → covariance of the means, (m, m), own units; of prompts that only one objective has, they share none."""
        present = ~np.isnan(self.scores)
        n = present.sum(axis=1)
        means = np.where(present, self.scores, 0.0).sum(axis=1) / np.where(n, n, np.nan)
        rest = np.where(present, self.scores - means[:, None], 0.0)
        products = np.einsum("pqi,pqj->pij", rest, rest)
        # One prompt in n is spent on each mean, as in the standard errors.
        scale = np.sqrt(np.where(n > 1, n * (n - 1.0), np.nan))
        return dict(zip(self.ids, products / (scale[:, :, None] * scale[:, None, :]), strict=True))

    def front_chances(self, resamples: int = 300) -> dict[str, float]:
        """Id → share of the resamplings of prompts in which nothing dominates the policy."""
        if not self.ids:
            return {}
        draws = self.frame.normalise(resample_means(self.scores, resamples, 0))
        chances = np.mean([nondominated(draw) for draw in draws], axis=0)
        return dict(zip(self.ids, chances.tolist(), strict=True))

    def differences(self, point: str) -> dict[str, tuple[float, float, int]] | None:
        """Objective → paired difference to the base, its standard error, prompts; ``None``: not measured here."""
        if point not in self.ids or "base" not in self.ids:
            return None
        a, b = (self.scores[self.ids.index(name)] for name in (point, "base"))
        return {name: paired_difference(a[:, k], b[:, k]) for k, name in enumerate(self.frame.objectives)}


def made_order(points: Sequence[Point]) -> list[Point]:
    """The base, the trials by number, the sweep's soups, then what came after them by name and number."""

    def key(p: Point) -> tuple[bool, bool, int, str, int]:
        stem, _, number = p.id.rpartition("-")
        order = int(number) if number.isdigit() else 0
        return (p.kind != "base", p.trial is None, p.trial or 0, {"soup": "0"}.get(stem, stem), order)

    return sorted(points, key=key)


def growth(points: Sequence[Point], frame: Frame) -> tuple[list[tuple[str, float]], float]:
    """Hypervolume on validation after each policy, and the base's; the base counts among no policies.

    Args:
        points: of a run, whatever their split.
        frame: of the run.

    Returns:
        Policy's id and the hypervolume with it, as ``made_order`` has them; the base's own.
    """
    known = made_order([p for p in points if p.split == "validation"])
    values = frame.normalise(np.array([[p.mean[n] for n in frame.objectives] for p in known]).reshape(len(known), -1))
    own = np.array([p.kind == "base" for p in known], dtype=bool)
    names = [p.id for p in known if p.kind != "base"]
    policies = values[~own]
    steps = [(name, hypervolume(policies[: k + 1], frame.reference)) for k, name in enumerate(names)]
    return steps, hypervolume(values[own], frame.reference)


@dataclass(frozen=True)
class Comparison:
    """Two runs' fronts on the same test prompts, in the frame of the first."""

    here: Interval
    """Hypervolume with its 95 % interval."""
    there: Interval
    difference: Interval
    """Of the first minus the second."""
    probability: float
    """That the first is larger."""


def compare(run: Run, other: Run, frame: Frame, resamples: int = 600) -> Comparison:
    """Whether one run's front is better than another's, by their hypervolumes over bootstrap draws of the prompts.

    Both fronts are selected on validation and measured on test. Intervals are basic ones, as in
    ``pareto.front.statistics``.

    Raises:
        ParetoError: the runs cannot be compared: other objectives, other prompts, or one is not finished.
    """
    directions = [[(o.name, o.direction, o.reward) for o in r.recipe.objectives] for r in (run, other)]
    if directions[0] != directions[1]:
        raise ParetoError(f"not comparable: '{other.path.name}' has other objectives")
    fronts = []
    for r in (run, other):
        points = load_points(r)
        chosen = set(select(r, points, frame))
        found = [p for p in points if p.split == "test" and p.id in chosen]
        if not found or len(found) < len(chosen):
            raise ParetoError(f"not comparable yet: the front of '{r.path.name}' is not measured on test")
        fronts.append((r, found))
    prompts = [_prompts(r, found[0].scores) for r, found in fronts]
    if prompts[0] != prompts[1]:
        raise ParetoError(f"not comparable: '{other.path.name}' was measured on other prompts")
    scores = np.stack([per_prompt(r, p) for r, found in fronts for p in found])
    mine = np.arange(len(scores)) < len(fronts[0][1])
    draws = frame.normalise(resample_means(scores, resamples, 0))
    means = frame.normalise(np.concatenate([prompt_means(policy, len(policy)) for policy in scores]))
    values = [hypervolume(means[side], frame.reference) for side in (mine, ~mine)]
    drawn = np.array([[hypervolume(d[side], frame.reference) for d in draws] for side in (mine, ~mine)])
    gap, gaps = values[0] - values[1], drawn[0] - drawn[1]
    return Comparison(
        _basic(values[0], drawn[0], 0.0),
        _basic(values[1], drawn[1], 0.0),
        _basic(gap, gaps, -np.inf),
        float(np.mean(2 * gap - gaps > 0)),
    )


def _basic(value: float, draws: Floats, least: float) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return Interval(value, max(least, min(2 * value - high, value)), max(2 * value - low, value))


def _prompts(run: Run, table: str) -> Sequence[str]:
    return read_scores(run.scores / f"{table}.parquet").prompt_ids
