"""The frame in which points are compared, fixed before the first trial.

Normalising by what a sweep happened to observe lets bad samplers look good, so centre, scale and reference
point come from the base policy alone and are stored with the results.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.errors import ParetoError


@dataclass(frozen=True)
class Frame:
    """Directions, normalisation and reference point of m objectives."""

    objectives: tuple[str, ...]
    """Names in order of priority, shape (m,)."""
    signs: tuple[float, ...]
    """+1 where the objective is maximised, −1 where it is minimised."""
    centre: tuple[float, ...]
    """Mean of the base policy, in the objective's own units."""
    scale: tuple[float, ...]
    """Standard deviation of the base policy over prompts, in the objective's own units, > 0."""
    reference: tuple[float, ...]
    """Reference point of the hypervolume, in normalised units."""

    @classmethod
    def from_base(cls, objectives: Sequence[str], signs: Sequence[float], scores: ArrayLike, margin: float) -> Frame:
        """The frame in which the base policy is the origin and its spread over prompts the unit.

        Args:
            objectives: names, (m,).
            signs: +1 or −1 for each, (m,).
            scores: per-prompt means of the base policy, (prompts, m); NaN where an objective does not apply.
            margin: how far below the base the reference point lies, in standard deviations, > 0.

        Returns:
            The frame. An objective that never varies keeps its own units (scale 1).

        Raises:
            ParetoError: an objective has no score at all.
        """
        table = np.asarray(scores, dtype=float)
        for name, column in zip(objectives, table.T, strict=True):
            if np.isnan(column).all():
                raise ParetoError(
                    f"objective '{name}': none of the {len(table)} prompts has a score under the base policy; "
                    "at least one prompt must be one to which it applies"
                )
        with warnings.catch_warnings():
            # A single score has no standard deviation; such an objective is constant and handled below.
            warnings.filterwarnings("ignore", "Degrees of freedom", RuntimeWarning)
            scale = np.nanstd(table, axis=0, ddof=1)
        # Equality of the extremes, because the standard deviation of equal floats may be 1e-17 rather than 0.
        scale[np.nanmax(table, axis=0) == np.nanmin(table, axis=0)] = 1.0
        return cls(
            objectives=tuple(objectives),
            signs=tuple(float(s) for s in signs),
            centre=tuple(np.nanmean(table, axis=0).tolist()),
            scale=tuple(scale.tolist()),
            reference=(-float(margin),) * len(objectives),
        )

    def normalise(self, values: ArrayLike) -> NDArray[np.float64]:
        """Values in base standard deviations above the base mean, all to maximise.

        Args:
            values: in the objectives' own units, (..., m).

        Returns:
            ``signs * (values - centre) / scale``, (..., m); NaN stays NaN.
        """
        raw = np.asarray(values, dtype=float)
        return np.asarray(np.array(self.signs) * (raw - np.array(self.centre)) / np.array(self.scale))

    def to_json(self) -> dict[str, Any]:
        """A plain dict of lists, exact under ``json``."""
        return {key: list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Frame:
        """The frame that ``to_json`` wrote."""
        return cls(**{key: tuple(value) for key, value in stored.items()})
