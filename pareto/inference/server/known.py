"""What a run knows of its policies when a server starts: what was measured, and what follows for the others.

It is read once, so that a sweep which goes on, or an adapter that somebody takes away, moves no request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pareto.choice.candidates import Candidates
from pareto.config import Level, suggest
from pareto.errors import ParetoError
from pareto.inference.policy import weights_point
from pareto.records import Point
from pareto.simplex import check_weights
from pareto.soups.members import LARGEST, members
from pareto.soups.outlook import Outlook
from pareto.soups.surrogate import half_width
from pareto.store.points import load_points
from pareto.store.run import Run

LEVEL = 0.9
"""Coverage of the intervals that are told."""
SAME = 1e-6
"""Coefficients that differ by no more are the same soup."""
LONGEST = 100
"""Characters of a name that is looked for; longer ones are nobody's."""


@dataclass(frozen=True)
class Spot:
    """A policy that can answer."""

    coefficients: dict[str, float]
    """Adapter → λ, without zeros; empty: the base model."""
    weights: dict[str, float] | None
    """The preference that it serves; ``None``: none is known."""
    point: str | None
    """Its id, where it was measured."""


@dataclass(frozen=True, eq=False)
class Known:
    """A run as it was when it was opened."""

    run: Run
    points: dict[str, Point]
    """Id → what was measured, on test where that was done; those on test first, then by id."""
    adapters: dict[str, str]
    """Name → folder, see ``members``."""
    candidates: Candidates
    """On validation, where it is judged; the base is none of them."""
    outlook: Outlook | None
    """``None``: too little is measured to predict anything."""

    @classmethod
    def of(cls, run: Run) -> Known:
        """Read it.

        Raises:
            ParetoError: no policy is measured yet; its map or a member of its bank is damaged.
        """
        candidates = Candidates.of(run)
        found = sorted(load_points(run), key=lambda p: (p.split != "test", p.id))
        points = {p.id: p for p in reversed(found)}
        return cls(run, dict(reversed(points.items())), members(run), candidates, _outlook(run))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the objectives, in order."""
        return self.candidates.frame.objectives

    def at_point(self, id: str) -> Spot:
        """A measured policy."""
        point = self.points[id]
        return Spot(_used(point.coefficients), point.weights, id)

    def at_coefficients(self, coefficients: Mapping[str, float]) -> Spot:
        """Any soup.

        Raises:
            ParetoError: an adapter that the run does not have, or a coefficient that is out of range.
        """
        for name, value in coefficients.items():
            if name not in self.adapters:
                raise ParetoError(
                    f"coefficients: no adapter '{short(name)}' in run '{self.run.name}'; "
                    f"{suggest(short(name), list(self.adapters))}"
                )
            if not math.isfinite(value):
                raise ParetoError(f"coefficients: {name}={value:g} is not a finite number")
            if abs(value) > LARGEST:
                raise ParetoError(f"coefficients: {name}={value:g} is out of range; from -{LARGEST:g} to {LARGEST:g}")
        return self._measured(Spot(_used(coefficients), None, None))

    def at_weights(self, weights: Mapping[str, float], levels: Sequence[Level] = ()) -> Spot:
        """The soup that serves a preference; with a map the best that is predicted to keep the levels.

        Raises:
            ParetoError: see ``check_weights``; or an expert that the weights need is not trained yet.
        """
        if not weights:
            raise ParetoError(f"weights: none given; wanted some of {', '.join(self.names)} that sum to 1")
        for name in weights:
            if len(name) > LONGEST:
                raise ParetoError(f"weights: unknown objective '{short(name)}'; known: {', '.join(self.names)}")
        wanted = check_weights(weights, self.names)
        named = dict(zip(self.names, wanted, strict=True))
        if self.outlook is None:
            coefficients = weights_point(self.run, wanted).coefficients
        else:
            coefficients = self.outlook.under(levels).at(named)["coefficients"]
        return self._measured(Spot(_used(coefficients), named, None))

    def _measured(self, spot: Spot) -> Spot:
        """The same as the run's own point where it has one with these coefficients, to the last bit."""
        for id, point in self.points.items():
            theirs = _used(point.coefficients)
            if theirs.keys() == spot.coefficients.keys() and all(
                abs(theirs[name] - value) <= SAME for name, value in spot.coefficients.items()
            ):
                return Spot(theirs, point.weights if spot.weights is None else spot.weights, id)
        return spot

    def predicted(self, spot: Spot) -> tuple[dict[str, dict[str, float]], str]:
        """Objective → ``mean``, ``low`` and ``high`` in its own units, and where that is from; empty: nothing is known.

        The interval is that of a measurement, 90 %.
        """
        if spot.point is not None:
            point = self.points[spot.point]
            half = {name: half_width(LEVEL) * point.se[name] for name in self.names}
            told = {
                name: {"mean": mean, "low": mean - half[name], "high": mean + half[name]}
                for name, mean in ((name, point.mean[name]) for name in self.names)
            }
            return told, f"measured on {point.split}"
        if self.outlook is None or not spot.coefficients.keys() <= set(self.outlook.adapters):
            return {}, ""
        seen = self.outlook.predict(spot.coefficients)
        told = {name: {end: seen[end][name] for end in ("mean", "low", "high")} for name in self.names}
        if self.outlook.source == "map":
            return told, "predicted by the frontier map"
        known = len(self.outlook.map.surrogate.coefficients)
        return told, f"predicted from {known} measured policies"

    def trend(self, spot: Spot) -> tuple[dict[str, float], dict[str, float]] | None:
        """Mean and standard deviation of what a soup is worth, as the map's own search judges it, in own units.

        Without the noise of one more measurement, of which there will be none. ``None``: nothing is known, as beyond
        all that was measured or searched, where a surrogate falls back to the mean of everything.
        """
        if self.outlook is None or not spot.coefficients.keys() <= set(self.outlook.adapters):
            return None
        x = np.array([[spot.coefficients.get(name, 0.0) for name in self.outlook.adapters]])
        seen, box = self.outlook.map.surrogate.coefficients, self.outlook.map.box
        if x.min() < min(box[0], seen.min()) or x.max() > max(box[1], seen.max()):
            return None
        mean, std = self.outlook.map.surrogate.predict(x, noise=False)
        own = self.outlook.map.own(mean[0])
        return dict(zip(self.names, own.tolist(), strict=True)), dict(
            zip(self.names, (std[0] * np.array(self.candidates.frame.scale)).tolist(), strict=True)
        )

    @cached_property
    def rounding(self) -> dict[str, float]:
        """Objective → misses that come of the four decimals to which a map rounds coefficients, in own units."""
        return {n: 1e-3 * scale for n, scale in zip(self.names, self.candidates.frame.scale, strict=True)}


def short(text: str) -> str:
    """A name that somebody gave, cut where it is longer than any."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _used(coefficients: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in sorted(coefficients.items()) if value != 0}


def _outlook(run: Run) -> Outlook | None:
    from pareto.soups.frontier_map import FILE

    try:
        return Outlook.of(run)
    except ParetoError:
        if (run.path / FILE).is_file():
            raise  # a damaged map is not to be served without
        return None
