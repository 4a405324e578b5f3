"""What any soup of a run's experts would measure: the frontier map's word, or before there is one a first guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pareto.config import Level
from pareto.errors import ParetoError
from pareto.frontier import read_frame
from pareto.simplex import check_weights
from pareto.soups.frontier_map import FILE, FrontierMap
from pareto.soups.measured import Measured
from pareto.soups.members import trained
from pareto.soups.surrogate import LEAST, Surrogate
from pareto.soups.weights import soup_of
from pareto.store.points import load_points
from pareto.store.run import Run

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outlook:
    """Predictions at any coefficients, and the coefficients for any weights."""

    source: Literal["map", "points"]
    """``map``: searched and checked by ``pareto map``; ``points``: a surrogate of what the sweep measured, whose
    intervals are wide where that is little, and the coefficients by rule."""
    map: FrontierMap
    scale: float
    """Largest coefficient by rule."""

    @classmethod
    def of(cls, run: Run) -> Outlook:
        """A run's map where there is one, else the surrogate of its measured soups.

        Raises:
            ParetoError: the map is damaged or of other adapters; or too little is measured yet.
        """
        scale = run.recipe.soups.scale
        if (run.path / FILE).is_file():
            return cls("map", FrontierMap.load(run), scale)
        frame = read_frame(run)
        experts = {p.id for p in load_points(run) if p.kind == "expert"}
        adapters = {name: key for name, key in trained(run).items() if name in experts}
        measured = Measured(run, frame, adapters)
        known = measured.given()
        if len(adapters) < len(frame.objectives) or len(known) <= LEAST:
            raise ParetoError(f"run '{run.name}': too little is measured to predict from; go on with the sweep")
        x, seed = measured.coefficients(known), run.recipe.seed
        kl = measured.root_kl(known)
        guess = FrontierMap(
            frame=frame,
            adapters=adapters,
            box=(0.0, 1.5),
            max_kl=float(kl.max() ** 2 * 1.5),
            priorities=(),
            seed=seed,
            surrogate=Surrogate.fit(x, measured.values(known), seed),
            kl=Surrogate.fit(x, kl, seed),
        )
        return cls("points", guess, scale)

    @property
    def objectives(self) -> tuple[str, ...]:
        """In order of priority, (m,)."""
        return self.map.frame.objectives

    @property
    def adapters(self) -> tuple[str, ...]:
        """What is mixed, in the order of the coefficients, (K,)."""
        return tuple(self.map.adapters)

    def at(self, weights: Mapping[str, float]) -> dict[str, Any]:
        """The soup for a preference, in the shape of ``FrontierMap.predict``.

        Raises:
            ParetoError: outside the simplex.
        """
        if self.source == "map":
            return self.map.at(weights)
        checked = dict(zip(self.objectives, check_weights(weights, self.objectives), strict=True))
        experts = {name.removeprefix("expert-"): name for name in self.adapters}
        return self.predict(soup_of(checked, experts, self.scale))

    def under(self, priorities: Sequence[Level]) -> Outlook:
        """The same, with other priorities for the map to keep."""
        return replace(self, map=replace(self.map, priorities=tuple(priorities)))

    def predict(self, coefficients: Mapping[str, float]) -> dict[str, Any]:
        """As ``FrontierMap.predict``."""
        return self.map.predict(coefficients)

    @cached_property
    def reach(self) -> tuple[dict[str, float], dict[str, float]]:
        """Lowest and highest prediction of each objective over the soups that keep the limits, in own units."""
        rng = np.random.default_rng(0)
        x = np.vstack(
            [
                self.map.surrogate.coefficients,
                rng.uniform(*self.map.box, (400, len(self.adapters))),
                rng.dirichlet(np.full(len(self.adapters), 0.6), 200),
            ]
        )
        kept = x[self.map.kl.mean(x)[:, 0] ** 2 <= self.map.max_kl]
        own = self.map.own(self.map.surrogate.mean(kept if len(kept) else x))
        low, high = own.min(axis=0), own.max(axis=0)
        return dict(zip(self.objectives, low.tolist(), strict=True)), dict(
            zip(self.objectives, high.tolist(), strict=True)
        )
