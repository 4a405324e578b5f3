"""How many answers a run's prompts are worth: by the spread of utility that the run's pool lets predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.frontier import read_frame
from pareto.inference.adaptive.allocation import marginal_gain
from pareto.inference.adaptive.difficulty import Difficulty
from pareto.objectives.encoder import load_encoder
from pareto.rollouts.pool import scores_key
from pareto.store.run import Run
from pareto.store.tables import read_prompts, read_scores, table_ok

if TYPE_CHECKING:
    from pareto.models import Base


@dataclass(frozen=True)
class Worth:
    """What is known of a run's prompts under some weights."""

    difficulty: Difficulty
    spreads: NDArray[np.float64]
    """Predicted for the training prompts, (p,)."""

    @classmethod
    def of(cls, run: Run, base: Base, weights: Sequence[float]) -> Worth:
        """Learn from the base policy's samples that the sweep has scored.

        Args:
            run: the run.
            base: its base model.
            weights: of the objectives, (m,).

        Raises:
            ParetoError: the run has no scored pool, or one of too few samples.
        """
        recipe = run.recipe
        prompts = [p for p in read_prompts(run.path / "prompts.parquet") if p.split == "train"]
        path = run.scores / f"{scores_key(base, recipe, prompts)}.parquet"
        if not table_ok(path):
            raise ParetoError(
                f"run '{run.name}' has no scored pool to learn from; go on with the sweep, or give a number"
            )
        pool = read_scores(path)
        z = read_frame(run).normalise(np.stack([pool.columns[name] for name in recipe.names], axis=1))
        utility = np.nan_to_num(z) @ np.asarray(weights)
        row = {p.id: i for i, p in enumerate(prompts)}
        samples = recipe.rollouts.per_prompt  # the first of each prompt's candidates; others were made with help
        found = np.full((len(prompts), samples), np.nan)
        for prompt_id, sample, value in zip(pool.prompt_ids, pool.samples, utility, strict=True):
            if sample < samples:
                found[row[prompt_id], sample] = value
        features = load_encoder().embed_kept([p.text for p in prompts]).astype(float)
        difficulty = Difficulty.fit(features, found, recipe.seed)
        return cls(difficulty, difficulty.predict(features))

    def spread(self, prompt: str) -> float:
        """Standard deviation of utility that is expected of the answers to a prompt."""
        return float(self.difficulty.predict(load_encoder().embed_kept([prompt]).astype(float))[0])

    def price(self, mean: float, cap: int) -> float:
        """Utility that the last answer brings, where the training prompts get ``mean`` answers on average."""
        return marginal_gain(self.spreads, mean, cap)
