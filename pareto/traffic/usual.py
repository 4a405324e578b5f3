"""What a run was made and measured with, against which its traffic is held: its prompts, and its ensembles' spreads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from pareto.errors import ParetoError
from pareto.objectives.ensemble.calibration import Calibration
from pareto.records import Prompt
from pareto.store.files import fingerprint, sealed_info, write_bytes
from pareto.store.run import Run
from pareto.store.tables import read_prompts

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Features]

NONE: Floats = np.empty(0)
FILE = "prompt_features.safetensors"
"""In a run's folder: features of its prompts, made anew where they are missing."""
NEIGHBOURS = 3
SURE = 0.99
"""That the share which an ensemble flags where nothing has changed is below ``Spreads.share``."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """A run's prompts as the sentence encoder sees them."""

    training: Features
    """(n, d), of length 1."""
    usual: Floats
    """``strangeness`` of the validation and test prompts, (r,)."""

    @classmethod
    def of(cls, features: Features, prompts: Sequence[Prompt]) -> Prompts:
        """From all prompts of a run and their features, (n, d)."""
        kept = features.astype(np.float16).astype(np.float32)  # as the log keeps them
        training = np.array([p.split == "train" for p in prompts], dtype=bool)
        return cls(kept[training], cls(kept[training], NONE).strangeness(kept[~training]))

    @classmethod
    def none(cls) -> Prompts:
        """Of which nothing is asked."""
        return cls(np.empty((0, 0), dtype=np.float32), NONE)

    def strangeness(self, features: Features) -> Floats:
        """One minus the mean cosine to the nearest ``NEIGHBOURS`` training prompts, for features (n, d): (n,).

        Raises:
            ParetoError: the features are another encoder's.
        """
        if features.shape[1] != self.training.shape[1]:
            raise ParetoError(
                f"features of {features.shape[1]} numbers in the log of traffic, of {self.training.shape[1]} for the "
                "run's prompts: another encoder made them; move the log away and begin a new one"
            )
        similar = np.asarray(features, dtype=np.float32) @ self.training.T
        k = min(NEIGHBOURS, similar.shape[1])
        nearest = np.partition(similar, -k, axis=1)[:, -k:]
        return np.asarray(1 - nearest.mean(axis=1), dtype=np.float64)


def embed(texts: Sequence[str]) -> Features:
    """Features of prompts as the log of traffic has them, (n, d), of length 1. Loads torch."""
    from pareto.objectives.encoder import load_encoder

    return load_encoder().embed(texts)


def usual_prompts(run: Run, embed: Embed = embed) -> Prompts:
    """A run's prompts; their features are made once and kept in its folder, where that can be written.

    Raises:
        ParetoError: the run's prompts are damaged, or the encoder is not installed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load, save

    prompts = read_prompts(run.path / "prompts.parquet")
    path, key = run.path / FILE, fingerprint([p.text for p in prompts])
    with suppress(OSError, SafetensorError, KeyError):
        return Prompts.of(load(path.read_bytes())[key], prompts)
    features = embed([p.text for p in prompts])
    with suppress(ParetoError, OSError):  # a run that can only be read is encoded again next time
        write_bytes(path, save({key: np.ascontiguousarray(features)}))
    return Prompts.of(features, prompts)


@dataclass(frozen=True)
class Spreads:
    """How much an ensemble's members disagreed on the completions that it was calibrated on."""

    quantiles: tuple[float, ...]
    """The 0th, 1st, … 100th percentile of the spread."""
    threshold: float
    """Above it a completion is flagged for review."""
    rate: float
    """Share of those completions that were."""
    n: int
    """Completions."""

    @property
    def share(self) -> float:
        """Largest share of flagged answers that the calibration does not speak against (Clopper and Pearson 1934)."""
        above = round(self.rate * self.n)
        return float(beta.ppf(SURE, above + 1, self.n - above)) if above < self.n else 1.0


def usual_spreads(run: Run) -> dict[str, Spreads]:
    """Objective → its ensemble's spreads, for objectives of two or more reward models.

    Raises:
        ParetoError: an ensemble is missing or damaged.
    """
    found = {}
    for objective in run.recipe.objectives:
        kind, _, name = objective.reward.partition(":")
        if kind == "ensemble":
            folder = run.path / name if (run.path / name).is_dir() else Path(name)
            info = sealed_info(folder, "ensemble.json", "an ensemble of reward models", "pareto reward train")
            made = Calibration.from_json(info["calibration"])
            if len(info["members"]) > 1:
                found[objective.name] = Spreads(
                    made.spread_quantiles, made.spread_threshold, made.review_rate, 2 * made.n
                )
    return found
