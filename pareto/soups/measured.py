"""The soups of a map's adapters that a run has measured on validation, as tables for the surrogates."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pareto.front.frame import Frame
from pareto.front.indicators import hypervolume
from pareto.records import Point, Split
from pareto.store.points import load_points
from pareto.store.run import Run

Floats = NDArray[np.float64]

_SEARCHED = re.compile(r"map-(\d+)")
_CHECKED = re.compile(r"map-check-(\d+)")


@dataclass(frozen=True)
class Measured:
    """Read anew at every call: the run's points are the only memory of a map under way."""

    run: Run
    frame: Frame
    adapters: dict[str, str]
    """Name → hash of the K adapters, in the order of the coefficients."""

    def given(self) -> list[Point]:
        """The base and the soups of nothing but these adapters that no map asked for, sorted by id."""
        return [p for p in self._points() if not (_SEARCHED.fullmatch(p.id) or _CHECKED.fullmatch(p.id))]

    def searched(self) -> list[Point]:
        """The soups that the map proposed, in that order."""
        found = [(int(m[1]), p) for p in self._points() if (m := _SEARCHED.fullmatch(p.id))]
        return [p for _, p in sorted(found, key=lambda pair: pair[0])]

    def checked(self) -> list[Point]:
        """The soups that were measured for the check alone."""
        return [p for p in self._points() if _CHECKED.fullmatch(p.id)]

    def free(self) -> int:
        """The first number from which on no soup of a map has one, of whatever adapters."""
        taken = [int(m[1]) for p in load_points(self.run) if (m := _SEARCHED.fullmatch(p.id))]
        return max(taken, default=-1) + 1

    def coefficients(self, points: list[Point]) -> Floats:
        """(n, K)."""
        rows = [[p.coefficients.get(name, 0.0) for name in self.adapters] for p in points]
        return np.array(rows).reshape(len(rows), len(self.adapters))

    def values(self, points: list[Point]) -> Floats:
        """Normalised, (n, m); a policy whose reward failed on all rows counts as the worst of them."""
        means = np.array([[p.mean[n] for n in self.frame.objectives] for p in points])
        return _without_nan(self.frame.normalise(means), np.fmin)

    def root_kl(self, points: list[Point]) -> Floats:
        """√KL, (n, 1): the KL itself grows with the square of the update."""
        return np.sqrt(np.maximum(_without_nan(np.array([[p.kl] for p in points]), np.fmax), 0.0))

    def gain(self, split: Split) -> dict[str, float]:
        """Hypervolume of all the run's points on a split, ``before`` the map's soups came and ``after``."""
        points = [p for p in load_points(self.run) if p.split == split]
        others = [p for p in points if not p.id.startswith("map-")]
        both = {"before": others, "after": points}
        return {when: hypervolume(self.values(found), self.frame.reference) for when, found in both.items()}

    def _points(self) -> list[Point]:
        mine = self.adapters.items()
        return [p for p in load_points(self.run) if p.split == "validation" and p.adapters.items() <= mine]


def _without_nan(table: Floats, worst: np.ufunc) -> Floats:
    return np.where(np.isnan(table), worst.reduce(table, axis=0), table)
