"""The frontier map of a run: from preference weights to the coefficients of the soup that serves them best.

Surrogates predict every objective and the KL at any coefficients; a search over them, under the constraints, answers
any weights in a fraction of a second. Needs no torch and no model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pareto.config import Level
from pareto.errors import ParetoError
from pareto.front.dominance import nondominated
from pareto.front.frame import Frame
from pareto.frontier import read_frame
from pareto.records import SCHEMA
from pareto.simplex import check_weights
from pareto.soups.members import members
from pareto.soups.search import best
from pareto.soups.surrogate import Surrogate, half_width
from pareto.store.files import fingerprint, read_json, write_json
from pareto.store.run import Run

Floats = NDArray[np.float64]

FILE = "map.json"
LEVEL = 0.9
"""Nominal coverage of the intervals."""


@dataclass(frozen=True)
class FrontierMap:
    """What was measured of a run's soups, and what follows from it for the others."""

    frame: Frame
    """Normalisation of the m objectives."""
    adapters: dict[str, str]
    """Name → hash of the K adapters, in the order of the coefficients."""
    box: tuple[float, float]
    """Lowest and highest coefficient."""
    max_kl: float
    """KL to the base that no soup of the map may exceed, nats per token."""
    priorities: tuple[Level, ...]
    """What every soup of the map must reach."""
    seed: int
    surrogate: Surrogate
    """Of the normalised objectives."""
    kl: Surrogate
    """Of √KL: the KL grows with the square of the update."""

    @classmethod
    def load(cls, run: Run) -> FrontierMap:
        """The map that ``pareto map`` left in the run's folder.

        Raises:
            ParetoError: there is none, it is damaged, or the run has other adapters since.
        """
        path = run.path / FILE
        if not path.is_file():
            raise ParetoError(f"run '{run.name}' has no frontier map yet; make it with: pareto map {run.name}")
        try:
            stored = read_json(path)
            body = stored["map"]
            if stored["seal"] != fingerprint(body):
                raise ValueError
            found = cls(
                frame=read_frame(run),
                adapters={name: body["adapters"][name] for name in body["order"]},
                box=tuple(body["box"]),
                max_kl=float(body["max_kl"]),
                priorities=tuple(Level(**level) for level in body["priorities"]),
                seed=int(body["seed"]),
                surrogate=Surrogate.from_json(body["surrogate"]),
                kl=Surrogate.from_json(body["kl"]),
            )
        except (KeyError, TypeError, ValueError):
            raise ParetoError(f"{path}: damaged; take it away and make it again with: pareto map {run.name}") from None
        here = members(run)
        for name, key in found.adapters.items():
            if here.get(name) != key:
                raise ParetoError(
                    f"{path}: made with an adapter '{name}' that is not the run's any more; "
                    f"make the map again with: pareto map {run.name}"
                )
        return found

    def save(self, run: Run, report: dict[str, Any]) -> None:
        """Put it into the run's folder, in one step, with a report for people."""
        body = {
            "order": list(self.adapters),
            "adapters": self.adapters,
            "box": list(self.box),
            "max_kl": self.max_kl,
            "priorities": [level.model_dump(mode="json") for level in self.priorities],
            "seed": self.seed,
            "surrogate": self.surrogate.to_json(),
            "kl": self.kl.to_json(),
        }
        write_json(run.path / FILE, {"schema": SCHEMA, "seal": fingerprint(body), "map": body, "report": report})

    def at(self, weights: Mapping[str, float]) -> dict[str, Any]:
        """The best soup for a preference, as ``predict`` gives it.

        Args:
            weights: objective → weight, on the simplex; a missing one is 0.

        Raises:
            ParetoError: outside the simplex.
        """
        ideal, span = self._range
        found = best(
            self.surrogate,
            check_weights(weights, self.frame.objectives),
            ideal=ideal,
            span=span,
            box=self.box,
            seed=self.seed,
            violation=self.violation,
        )
        return self.predict(dict(zip(self.adapters, found.tolist(), strict=True)))

    def predict(self, coefficients: Mapping[str, float] | Sequence[float]) -> dict[str, Any]:
        """What a soup would measure on validation.

        Args:
            coefficients: adapter → λ, a missing one is 0; or K of them in the map's order.

        Returns:
            ``coefficients``; ``mean``, ``low``, ``high``: objective → prediction and 90 % interval, in the
            objective's own units; ``kl``: nats per token.

        Raises:
            ParetoError: an adapter that is not the map's, a wrong number of coefficients, or one that is not finite.
        """
        named = self._named(coefficients)
        x = np.array([list(named.values())])
        mean, std = self.surrogate.predict(x)
        centre, half = self.own(mean[0]), half_width(LEVEL) * std[0] * np.array(self.frame.scale)
        names = self.frame.objectives
        return {
            "coefficients": {name: value for name, value in named.items() if value != 0},
            "mean": dict(zip(names, centre.tolist(), strict=True)),
            "low": dict(zip(names, (centre - half).tolist(), strict=True)),
            "high": dict(zip(names, (centre + half).tolist(), strict=True)),
            "kl": float(self.kl.mean(x)[0, 0] ** 2),
        }

    def own(self, z: Floats) -> Floats:
        """Normalised values (..., m) in the objectives' own units."""
        return np.asarray(np.array(self.frame.centre) + np.array(self.frame.signs) * np.array(self.frame.scale) * z)

    def violation(self, x: Floats) -> Floats:
        """Predicted violation of the constraints, (q, K) → (q,), at most 0 where all are kept."""
        return violation(self.surrogate, self.kl, self.max_kl, limits(self.frame, self.priorities), x)

    @cached_property
    def _range(self) -> tuple[Floats, Floats]:
        """Ideal and span of the front, (m,) each: of the means at the measured soups that keep the constraints."""
        z = self.surrogate.mean(self.surrogate.coefficients)
        kept = self.violation(self.surrogate.coefficients) <= 0
        z = z[kept] if kept.any() else z
        front = z[nondominated(z)]
        span = np.ptp(front, axis=0)
        return front.max(axis=0), np.where(span > 0, span, 1.0)

    def _named(self, coefficients: Mapping[str, float] | Sequence[float]) -> dict[str, float]:
        if not isinstance(coefficients, Mapping):
            if len(coefficients) != len(self.adapters):
                raise ParetoError(f"coefficients: {len(coefficients)} given, the map has {len(self.adapters)} adapters")
            coefficients = dict(zip(self.adapters, coefficients, strict=True))
        for name, value in coefficients.items():
            if name not in self.adapters:
                raise ParetoError(f"coefficients: the map has no adapter '{name}'; it has: {', '.join(self.adapters)}")
            if not math.isfinite(value):
                raise ParetoError(f"coefficients: {name}={value:g} is not a finite number")
        return {name: float(coefficients.get(name, 0.0)) for name in self.adapters}


class Limit(NamedTuple):
    """A threshold of the priorities, as the surrogate sees it."""

    objective: int
    """Index."""
    least: float
    """Normalised."""
    z: float
    """How many standard deviations of the prediction must lie above it; 0: judged on the mean."""


def limits(frame: Frame, priorities: Sequence[Level]) -> list[Limit]:
    """The thresholds of the priorities; a tolerance to the best is judged among what is measured, not predicted."""
    found = []
    for level in priorities:
        z = 0.0 if level.confidence is None else float(norm.ppf(level.confidence))
        for rule in level.rules:
            if rule.threshold is not None:
                k = frame.objectives.index(rule.objective)
                own = np.array(frame.centre)
                own[k] = rule.threshold
                found.append(Limit(k, float(frame.normalise(own)[k]), z))
    return found


def violation(surrogate: Surrogate, kl: Surrogate, max_kl: float, wanted: Sequence[Limit], x: Floats) -> Floats:
    """Largest predicted violation, (q, K) → (q,): of √KL, and of the priorities in base standard deviations."""
    over = np.asarray(kl.mean(x)[:, 0] - np.sqrt(max_kl))
    if not wanted:
        return over
    mean, std = surrogate.predict(x, noise=False)
    short = [limit.least - (mean[:, limit.objective] - limit.z * std[:, limit.objective]) for limit in wanted]
    return np.asarray(np.maximum(over, np.max(short, axis=0)))
