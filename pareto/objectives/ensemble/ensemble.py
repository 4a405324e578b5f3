"""The folder of an ensemble, and scoring with it.

``ensemble.json`` says what the members are, what they were trained on and how their scores are calibrated; the heads
on frozen features lie in ``heads-<kind>.safetensors``, LoRA members in PEFT folders under ``members/``; foreign models
stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.config import Aggregation, Model
from pareto.objectives.ensemble.calibration import Calibration
from pareto.objectives.ensemble.checks import check_base, unseen
from pareto.objectives.ensemble.export import export_member
from pareto.objectives.ensemble.features import Progress
from pareto.objectives.ensemble.heads import heads_file, read_heads
from pareto.objectives.ensemble.members import Scorer, feature_cache, scorers
from pareto.objectives.ensemble.scores import EnsembleScores, PairScores, pair_scores
from pareto.records import Pair
from pareto.store.files import fingerprint, sealed_info

__all__ = ["INFO", "Ensemble", "export_member", "raw_scores"]

INFO = "ensemble.json"


class Ensemble:
    """An objective's reward models, opened for scoring."""

    def __init__(self, path: Path, info: dict[str, Any], cache: Path | None) -> None:
        self.path = path
        self.info = info
        """``ensemble.json``."""
        self._cache = cache

    @classmethod
    def open(cls, path: str | Path, cache: Path | None = None) -> Ensemble:
        """Open a folder that `pareto reward train` made.

        Args:
            path: the folder.
            cache: where features are kept between processes; ``None``: in memory only.

        Raises:
            ParetoError: it is missing, damaged or of a newer version; the base model's weights, tokenizer or chat
                template are not those that its members were trained with.
        """
        path = Path(path)
        info = sealed_info(path, INFO, "an ensemble of reward models", "pareto reward train")
        check_base(path, info)
        return cls(path, info, cache)

    @property
    def objective(self) -> str:
        """What it scores."""
        return str(self.info["objective"])

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.info["members"])

    @property
    def fingerprint(self) -> str:
        """Of all that makes its scores."""
        return fingerprint([self.info["specification"], self.info["members"], self.info["calibration"]])

    @cached_property
    def calibration(self) -> Calibration:
        """From raw scores to calibrated ones, and the thresholds."""
        return Calibration.from_json(self.info["calibration"])

    def unseen(self, pairs: Sequence[Pair], what: str) -> tuple[list[Pair], str | None]:
        """The comparisons that it can be judged by, and what is to be told of the rest; see ``checks.unseen``."""
        return unseen(pairs, set(self.info["seen"]), what)

    @property
    def report(self) -> dict[str, Any]:
        """What was measured when it was made."""
        report: dict[str, Any] = self.info["report"]
        return report

    def raw(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        progress: Progress = lambda done, total: None,
    ) -> NDArray[np.float64]:
        """The members' own scores (n, k), see ``score``."""
        return raw_scores(self._scorers, self.size, prompts, completions, progress)

    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        progress: Progress = lambda done, total: None,
    ) -> EnsembleScores:
        """Calibrated scores of n completions.

        Args:
            prompts: n texts, without chat template.
            completions: n texts.
            progress: called with (completions done, in all) for each kind of member in turn.
        """
        return self.calibration.apply(self.raw(prompts, completions, progress))

    def compare(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> PairScores:
        """Calibrated scores of n pairs of completions."""
        scores = self.score([*prompts, *prompts], [*first, *second])
        n = len(prompts)
        return pair_scores(scores.take(np.arange(n)), scores.take(np.arange(n, 2 * n)))

    def reward(
        self, scores: EnsembleScores, aggregate: Aggregation | None = None, k: float | None = None
    ) -> NDArray[np.float64]:
        """One reward per completion, (n,), by the aggregation that the folder was made with or another."""
        settings = self.info["settings"]
        return scores.aggregate(aggregate or settings["aggregate"], settings["k"] if k is None else k)

    @cached_property
    def _scorers(self) -> list[tuple[list[int], Scorer]]:
        model = Model.model_validate(self.info["model"])
        heads = {kind: read_heads(self.path / heads_file(kind)) for kind in self._kinds()}
        caches = {kind: feature_cache(kind, model, self.info["settings"]["pooling"], self._cache) for kind in heads}
        return scorers(self.path, self.info["members"], model, heads, caches)

    def _kinds(self) -> list[Any]:
        return sorted({m["kind"] for m in self.info["members"]} & {"linear", "mlp", "encoder"})


def raw_scores(
    scorers: Sequence[tuple[Sequence[int], Scorer]],
    size: int,
    prompts: Sequence[str],
    completions: Sequence[str],
    progress: Progress = lambda done, total: None,
) -> NDArray[np.float64]:
    """Scores (n, size) by scorers that each fill some columns."""
    out = np.empty((len(prompts), size))
    for columns, scorer in scorers:
        out[:, columns] = scorer(prompts, completions, progress)
    return out
