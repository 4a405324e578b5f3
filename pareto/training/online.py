"""GRPO and RLOO through TRL's trainers, on the same rewards and weights as DPO.

Rewards reach the trainers in units of the base policy's standard deviations, and every objective is
normalised within its group of completions before the weights touch it (``normalize_then_sum``): otherwise
the objective of largest variance overrides the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.models import Base
from pareto.objectives.load import Reward
from pareto.objectives.messages import plain
from pareto.objectives.score import results
from pareto.records import Prompt
from pareto.training.adapters import State, freeze_a, lora_config, put, take
from pareto.training.checkpoint import Checkpoints
from pareto.training.dpo import Steps, one_device, restore, trainer_arguments
from pareto.training.resume import run

RewardFunction = Callable[..., list[float | None]]


def train_online(
    base: Base,
    recipe: Recipe,
    rewards: Sequence[Reward],
    weights: Sequence[float],
    prompts: Sequence[Prompt],
    a: State,
    start: State | None,
    *,
    steps: int,
    seed: int,
    scratch: Path,
    progress: Callable[[int, int], None],
    checkpoints: Checkpoints | None = None,
    parts: int = 1,
    processes: int = 1,
) -> tuple[State, list[dict[str, float]]]:
    """Train one adapter's B by sampling from the policy as it learns.

    Args: as ``train_dpo``; ``rewards`` and ``weights`` (m,) in the recipe's order. The parts of a batch are of equal
        size, so there may be more of them than asked for: 5 completions in 2 parts are 5 parts, 1 stays whole. All
        completions of a batch are sampled at once, whatever the parts.

    Returns:
        B, and the trainer's log.

    Raises:
        ParetoError: ``batch_size`` is no multiple of ``num_generations``; a reward fails on every row.
    """
    training, sampling = recipe.training, recipe.sampling
    if training.batch_size % training.num_generations:
        raise ParetoError(
            f"training.batch_size: {training.batch_size} completions per step cannot be shared out among groups of "
            f"training.num_generations {training.num_generations}; use a multiple"
        )
    own = training.batch_size // processes
    shared = {
        **trainer_arguments(base, training, steps, seed, processes),
        "output_dir": str(scratch),
        "per_device_train_batch_size": own // equal_parts(own, parts),
        "gradient_accumulation_steps": equal_parts(own, parts),
        "beta": training.beta,
        "num_generations": training.num_generations,
        "max_completion_length": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        # Columns such as `answers` must reach the rewards.
        "remove_unused_columns": False,
    }
    functions: list[Any] = [_signed(r, sampling.max_new_tokens) for r in rewards]
    common = {
        "model": base.model,
        "train_dataset": rows(base, prompts),
        "processing_class": base.tokenizer,
        "peft_config": lora_config(base, training.lora),
        "callbacks": [Steps(progress, steps)],
    }
    trainer: Any
    if training.method == "grpo":
        config = GRPOConfig(**shared, reward_weights=list(weights), multi_objective_aggregation="normalize_then_sum")
        one_device(config)
        trainer = GRPOTrainer(reward_funcs=functions, args=config, **common)
    else:
        summed = _normalised_sum(functions, weights, training.num_generations)
        rloo = RLOOConfig(**shared)
        one_device(rloo)
        trainer = RLOOTrainer(reward_funcs=summed, args=rloo, **common)
    trainer.remove_callback(PrinterCallback)
    try:
        put(trainer.model, a, start)
        freeze_a(trainer.model)
        run(trainer, checkpoints, scratch)
        a_after, b = take(trainer.model)
        if any(not torch.equal(a[k], a_after[k]) for k in a):
            raise AssertionError("the shared A changed in training")
        log = [{k: float(v) for k, v in row.items() if isinstance(v, int | float)} for row in trainer.state.log_history]
    finally:
        restore(trainer.model, base.model)
    return b, log


def equal_parts(batch: int, parts: int) -> int:
    """The fewest equal parts of a batch, at least so many; one per completion where it cannot be cut so often."""
    return next((n for n in range(parts, batch) if batch % n == 0), batch)


def rows(base: Base, prompts: Sequence[Prompt]) -> Dataset:
    """TRL's conversational columns, and those that rewards ask for."""
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "system", "content": base.system}, {"role": "user", "content": p.text}],
                "answers": list(p.answers),
                "source": p.source,
            }
            for p in prompts
        ]
    )


def _signed(reward: Reward, cap: int) -> RewardFunction:
    """The reward with larger = better, under the objective's name.

    It sees what it sees when the pool is scored (plain text, not TRL's messages), and a row that it fails on is
    masked; the share of such rows goes to the trainer's log as ``failed/<objective>``.
    """

    def function(
        prompts: Any, completions: Any, completion_ids: Any, answers: Any, source: Any, log_metric: Any, **_: Any
    ) -> list[float | None]:
        columns = {
            "prompts": [plain(p) for p in prompts],
            "completions": [plain(c).strip() for c in completions],
            "completion_ids": completion_ids,
            "answers": answers,
            "source": source,
        }
        found = results(reward, columns, cap, len(completions))
        failed = [r for r in found if isinstance(r, str)]
        if len(failed) == len(found):
            raise ParetoError(f"reward '{reward.name}' fails on every row: {failed[0]}")
        log_metric(f"failed/{reward.name}", len(failed) / len(found))
        return [reward.sign * r if isinstance(r, float) else None for r in found]

    function.__name__ = reward.name
    return function


def _normalised_sum(functions: Sequence[RewardFunction], weights: Sequence[float], group: int) -> RewardFunction:
    """For RLOO, which takes one reward and no ``normalize_then_sum``: normalise in groups, then sum."""

    def weighted(**columns: Any) -> list[float | None]:
        total: np.ndarray | None = None
        for function, weight in zip(functions, weights, strict=True):
            values = np.array(function(**columns), dtype=float).reshape(-1, group)
            applies = ~np.isnan(values)
            centred = np.where(applies, values, 0.0)
            count = np.maximum(applies.sum(1, keepdims=True), 1)
            centred = np.where(applies, values - centred.sum(1, keepdims=True) / count, 0.0)
            spread = np.sqrt((centred**2).sum(1, keepdims=True) / count)
            part = weight * centred / (spread + 1e-4)
            total = part if total is None else total + part
        assert total is not None
        return [float(v) for v in total.reshape(-1)]

    return weighted
