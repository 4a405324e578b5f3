"""Train the adapter of one weight setting, or find it made already."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pareto.config import Recipe, Training
from pareto.errors import ParetoError
from pareto.preferences import compare
from pareto.records import Prompt, Rollout
from pareto.store.files import discard, fingerprint, folder, folder_ok, write_json
from pareto.training.adapters import State, first_layer, hash_state, shared_a, write_adapter
from pareto.training.checkpoint import Checkpoint, Checkpoints

if TYPE_CHECKING:
    from pareto.models import Base
    from pareto.objectives.load import Reward
    from pareto.training.trunk import Trunk


@dataclass
class Ground:
    """What every weight setting of a run stands on."""

    base: Base
    recipe: Recipe
    rewards: Sequence[Reward]
    prompts: Sequence[Prompt]
    """The training prompts."""
    pool: Sequence[Rollout]
    scores: NDArray[np.float64]
    """(n, m) of the pool, normalised, NaN = masked."""
    pool_key: str
    """Hash of the pool and of its scores."""

    def __post_init__(self) -> None:
        self.a: State = shared_a(self.base, self.recipe.training.lora, self.recipe.seed)
        self.a_hash = hash_state(self.a)
        self._trunk: Trunk | None = None

    @property
    def trunk(self) -> Trunk | None:
        """The shared lower layers, where the recipe and the architecture allow it."""
        from pareto.training.trunk import Trunk, shareable

        lowest = first_layer(self.base, self.recipe.training.lora)
        if self._trunk is None and shareable(self.base, lowest):
            self._trunk = Trunk(self.base, lowest)
        return self._trunk


@dataclass(frozen=True)
class Job:
    """One adapter to be trained."""

    weights: tuple[float, ...]
    settings: Mapping[str, float | int]
    """Hyper-parameters that a driver searches beside the weights."""
    start: Mapping[str, float]
    """Adapter key → coefficient of the soup that training starts from; empty: from the base."""

    def key(self, ground: Ground) -> str:
        """The adapter's name: a hash of everything that makes it."""
        training = ground.recipe.training.model_dump(mode="json", exclude={"start"})
        return fingerprint(
            {
                "base": ground.base.fingerprint,
                "a": ground.a_hash,
                "pool": ground.pool_key,
                "training": training,
                "steps": self.steps(ground.recipe.training),
                "weights": [round(w, 12) for w in self.weights],
                "settings": dict(self.settings),
                "start": {k: round(v, 12) for k, v in self.start.items()},
                "seed": ground.recipe.seed,
                "objectives": [o.model_dump(mode="json") for o in ground.recipe.objectives],
            }
        )

    def steps(self, training: Training) -> int:
        """Optimiser steps."""
        return training.steps_from_soup if self.start else training.steps


def train(
    ground: Ground,
    job: Job,
    start: State | None,
    adapters: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    checkpoint: Checkpoint | None = None,
    batch_share: float = 1.0,
    processes: int = 1,
) -> Path:
    """Train one adapter, or return the one that is there.

    Args:
        ground: what all weight settings share.
        job: the weight setting.
        start: the B that ``job.start`` names, mixed; ``None`` for zeros.
        adapters: the run's folder of adapters.
        progress: called with (steps done, steps in all).
        checkpoint: go on from what a killed training left, and leave such; taken away once the adapter is whole.
        batch_share: of a batch that memory holds at a time, above 0 and at most 1. The loss and the adapter's name are
            those of whole batches, its tensors too up to rounding.
        processes: that train together, of which this is one; each takes its part of every batch, a multiple of them.

    Returns:
        The adapter's folder, a PEFT folder named by ``job.key``.

    Raises:
        ParetoError: no prompt's candidates differ enough at these weights.
    """
    out = adapters / job.key(ground)
    checkpoints = checkpoint and Checkpoints(checkpoint, out.name)
    if not folder_ok(out):
        how = {
            "progress": progress,
            "checkpoints": checkpoints,
            "parts": math.ceil(1 / batch_share),
            "processes": processes,
        }
        _make(ground, job, start, out, how)
    if checkpoints:
        checkpoints.remove()
    return out


def _make(ground: Ground, job: Job, start: State | None, out: Path, how: Mapping[str, Any]) -> None:
    discard(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        b, log = _train(ground, job, start, {**how, "scratch": Path(scratch)})
    with folder(out) as made:
        lora = ground.recipe.training.lora
        names = ground.recipe.names
        made_from = {
            "weights": dict(zip(names, job.weights, strict=True)),
            "settings": dict(job.settings),
            "start": dict(job.start),
            "steps": job.steps(ground.recipe.training),
        }
        write_adapter(made, ground.base, lora, ground.a, b, made_from)
        write_json(made / "log.json", log)


def _train(
    ground: Ground, job: Job, start: State | None, how: Mapping[str, Any]
) -> tuple[State, list[dict[str, float]]]:
    recipe = ground.recipe
    rank = int(job.settings.get("rank", recipe.training.lora.rank))
    training = _with(recipe.training, job.settings, rank)
    a, start = _cut(ground.a, start, rank)
    common: dict[str, Any] = {"steps": job.steps(training), "seed": recipe.seed, **how}
    if training.method == "dpo":
        from pareto.training.dpo import rows, train_dpo

        comparisons = compare(ground.pool, ground.scores, job.weights, training)
        if not comparisons:
            raise ParetoError(
                f"no comparison at weights {dict(zip(recipe.names, job.weights, strict=True))}: no prompt has two "
                f"candidates that differ by more than training.min_margin {training.min_margin}"
            )
        ids = {p.id: ground.base.prompt_ids(p.text) for p in ground.prompts}
        data = rows(ids, ground.pool, comparisons)
        _, b, log = train_dpo(ground.base, training, data, a, start, ground.trunk, **common)
    else:
        from pareto.training.online import train_online

        online = recipe.model_copy(update={"training": training})
        b, log = train_online(ground.base, online, ground.rewards, job.weights, ground.prompts, a, start, **common)
    return _pad(b, recipe.training.lora.rank), log


def _with(training: Training, settings: Mapping[str, float | int], rank: int) -> Training:
    """The training section with a trial's own hyper-parameters; alpha/rank stays the run's."""
    lora = training.lora
    update: dict[str, Any] = {k: v for k, v in settings.items() if k != "rank"}
    if rank != lora.rank:
        update["lora"] = lora.model_copy(update={"rank": rank, "alpha": lora.alpha * rank / lora.rank})
    return training.model_copy(update=update)


def _cut(a: State, start: State | None, rank: int) -> tuple[State, State | None]:
    """The first ``rank`` rows of A: a smaller adapter of the same family, which still mixes exactly."""
    small = {k: v[:rank] for k, v in a.items()}
    return small, None if start is None else {k: v[:, :rank] for k, v in start.items()}


def _pad(b: State, rank: int) -> State:
    """A smaller adapter's B as one of the run's rank."""
    from torch.nn.functional import pad

    return {k: pad(v, (0, rank - v.size(1))) if v.size(1) < rank else v for k, v in b.items()}
