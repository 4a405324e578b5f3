"""An ensemble as a reward: what it doubts is scored low and kept for review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from pareto.config import Aggregation, suggest
from pareto.errors import ParetoError
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.objectives.ensemble.scores import EnsembleScores, Floats
from pareto.objectives.messages import Text, plain


@dataclass(frozen=True)
class Flagged:
    """A completion on which the members disagree more than the threshold."""

    prompt: str
    completion: str
    members: tuple[float, ...]
    """Calibrated scores."""
    spread: float
    """Their standard deviation, nats."""


class EnsembleReward:
    """TRL's signature: one aggregated score per completion, in nats; the worst member's where they disagree much."""

    def __init__(self, name: str, path: Path, aggregate: Aggregation | None = None, k: float | None = None) -> None:
        """Open the ensemble.

        Args:
            name: of the objective, under which TRL logs it.
            path: its folder.
            aggregate: ``mean``, ``min``, ``lcb`` or ``uwo``; ``None``: what the folder was made with.
            k: of ``lcb`` and ``uwo``; ``None``: as the folder has it.

        Raises:
            ParetoError: see ``Ensemble.open``; an option that is none.
        """
        known = get_args(Aggregation)
        if aggregate is not None and aggregate not in known:
            raise ParetoError(f"option 'aggregate' of an ensemble: '{aggregate}' is none; {suggest(aggregate, known)}")
        if k is not None and (not isinstance(k, int | float) or k < 0):
            raise ParetoError(f"option 'k' of an ensemble: {k} is no number of 0 or more")
        self.__name__ = name
        self.ensemble = Ensemble.open(path)
        self.flagged: list[Flagged] = []
        """Doubted completions since it was last emptied."""
        self._how = (aggregate, k)

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
        """One score per completion."""
        asked, answers = [plain(p) for p in prompts], [plain(c) for c in completions]
        rewards, scores = self.scored(asked, answers)
        for i in np.flatnonzero(self.doubted(scores)):
            members = tuple(scores.members[i].tolist())
            self.flagged.append(Flagged(asked[i], answers[i], members, float(scores.spread[i])))
        return list(map(float, rewards))

    def scored(self, prompts: Sequence[str], completions: Sequence[str]) -> tuple[Floats, EnsembleScores]:
        """Rewards of n completions, (n,), and what the members say of them; nothing is flagged."""
        scores = self.ensemble.score(prompts, completions)
        rewards = np.where(self.doubted(scores), scores.aggregate("min"), self.ensemble.reward(scores, *self._how))
        return np.asarray(rewards), scores

    def doubted(self, scores: EnsembleScores) -> NDArray[np.bool_]:
        """(n,): the members disagree more than the threshold."""
        return scores.spread > self.ensemble.calibration.spread_threshold
