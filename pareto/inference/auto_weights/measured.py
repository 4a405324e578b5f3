"""What each of a run's policies with weights is worth on each prompt under a stated utility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.frontier import per_prompt, read_frame
from pareto.inference.auto_weights.regression import Floats
from pareto.records import Point, Prompt, Split
from pareto.store.files import fingerprint
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_prompts, read_scores


@dataclass(frozen=True, eq=False)
class Measured:
    """P policies on the same n prompts."""

    points: tuple[Point, ...]
    """Sorted by id."""
    prompts: tuple[Prompt, ...]
    objectives: tuple[str, ...]
    """Names, (m,)."""
    z: Floats
    """(P, n, m): means over samples in base standard deviations, to maximise; NaN where one does not apply."""

    @classmethod
    def of(cls, run: Run, split: Split) -> Measured:
        """The run's policies that were made for weights and are measured on a split.

        Raises:
            ParetoError: fewer than two, or the run has not come that far.
        """
        points = candidates(run, split)
        if len(points) < 2:
            raise ParetoError(
                f"run '{run.name}' has {len(points)} policies with weights on {split} prompts and needs two to choose "
                "from; go on with the sweep"
            )
        by_id = {p.id: p for p in read_prompts(run.path / "prompts.parquet")}
        ids = dict.fromkeys(read_scores(run.scores / f"{points[0].scores}.parquet").prompt_ids)
        frame = read_frame(run)
        z = frame.normalise(np.stack([per_prompt(run, p) for p in points]))
        return cls(tuple(points), tuple(by_id[i] for i in ids), frame.objectives, z)

    @property
    def weights(self) -> Floats:
        """(P, m), on the simplex."""
        return np.array([[(p.weights or {}).get(name, 0.0) for name in self.objectives] for p in self.points])

    def utility(self, weights: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Utilities under weights of each prompt, (n, m).

        An objective that does not apply to a prompt counts for nothing there. Where a reward failed on some policies
        only, they count as the others' mean, which says nothing for or against them.

        Returns:
            (n, P) in base standard deviations, and which prompts say anything: weights are stated and an objective
            with a weight applies.
        """
        known = np.isfinite(self.z)
        of_prompt = np.where(known, self.z, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, self.z, of_prompt)
        told: NDArray[np.bool_] = np.any(known.any(axis=0) & (weights > 0), axis=1)
        return np.einsum("pnm,nm->np", filled, np.nan_to_num(weights)), told


def candidates(run: Run, split: Split) -> list[Point]:
    """Points of policies that were made for weights, sorted by id."""
    return [p for p in load_points(run) if p.split == split and p.kind != "base" and p.weights is not None]


def state(run: Run) -> str:
    """Changes whenever what could be learned from changes: the policies, their scores or the normalisation."""
    told: list[Any] = [[p.id, p.weights, p.coefficients, p.adapters, p.scores] for p in candidates(run, "validation")]
    return fingerprint([told, read_frame(run).to_json()])


def embed(texts: Sequence[str]) -> Floats:
    """Features of prompts, (n, d), of length 1."""
    from pareto.objectives.encoder import load_encoder

    return load_encoder().embed(texts).astype(np.float64)
