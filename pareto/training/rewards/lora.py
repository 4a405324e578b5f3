"""A LoRA member: adapter and head on the base model, by TRL's ``RewardTrainer``."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pareto.config import Ensemble
from pareto.objectives.ensemble.classifier import classifier, padded_tokenizer
from pareto.objectives.ensemble.features import Progress, conversation
from pareto.records import Pair

if TYPE_CHECKING:
    from pareto.models import Base

BATCH = 8
"""Comparisons per step."""
RATE = 5e-4
RANK = 8


class Failed(Exception):
    """The member's loss or weights are no numbers any more."""


def train_lora(base: Base, pairs: Sequence[Pair], seed: int, settings: Ensemble, out: Path, progress: Progress) -> None:
    """Train one member and write its PEFT folder.

    ``RewardTrainer`` knows neither ties nor weights: give it none of the first; by weight, rows are drawn more often.
    It passes once over the comparisons, or takes ``settings.steps`` steps if that is less: reward models overfit in a
    second pass (Ouyang et al. 2022, arXiv 2203.02155), and a step costs seconds on a CPU.

    Args:
        base: the base model; a copy is trained.
        pairs: the training comparisons, no ties.
        seed: of the head, of the adapter and of the bootstrap.
        settings: ``steps``, ``learning_rate``, ``weight_decay``, ``bootstrap``.
        out: an existing empty folder.
        progress: called with (steps done, in all).

    Raises:
        Failed: see there.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, set_seed
    from trl import RewardConfig, RewardTrainer

    from pareto.training.dpo import Steps

    rows = _drawn(pairs, seed, settings.bootstrap)
    data = Dataset.from_list(
        [
            {
                "chosen_ids": conversation(base, p.prompt, p.chosen),
                "rejected_ids": conversation(base, p.prompt, p.rejected),
            }
            for p in rows
        ]
    )
    steps = min(settings.steps, math.ceil(len(rows) / BATCH))
    set_seed(seed)  # the head is drawn when the model is loaded
    model = classifier(base)
    with tempfile.TemporaryDirectory() as scratch:
        args = RewardConfig(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            learning_rate=settings.learning_rate or RATE,
            weight_decay=settings.weight_decay or 0.0,
            lr_scheduler_type="cosine",
            warmup_steps=round(0.1 * steps),
            seed=seed,
            max_length=None,
            bf16=base.model.dtype == torch.bfloat16,
            fp16=base.model.dtype == torch.float16,
            use_cpu=base.device.type == "cpu",
            gradient_checkpointing=False,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=base.device.type != "cpu",
        )
        trainer: Any = RewardTrainer(
            model=model,
            args=args,
            train_dataset=data,
            processing_class=padded_tokenizer(base),
            peft_config=LoraConfig(
                task_type="SEQ_CLS", r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules="all-linear"
            ),
            callbacks=[Steps(progress, steps)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    if not all(bool(p.isfinite().all()) for p in trained):
        raise Failed("its loss is NaN or infinite; a lower learning rate may help")
    trainer.model.save_pretrained(out)


def _drawn(pairs: Sequence[Pair], seed: int, bootstrap: bool) -> list[Pair]:
    """As many comparisons as there are: of prompts drawn with replacement, and the more often the more they weigh."""
    rng = np.random.default_rng(seed)
    weights = np.array([p.weight for p in pairs])
    if bootstrap:
        groups = np.unique([p.prompt for p in pairs], return_inverse=True)[1]
        prompts = int(groups.max()) + 1
        weights = weights * np.bincount(rng.integers(prompts, size=prompts), minlength=prompts)[groups]
    elif len(set(weights.tolist())) == 1:
        return list(pairs)
    # Systematic draws: each row comes as often as its weight says, give or take one.
    at = (np.arange(len(pairs)) + rng.random()) / len(pairs) * weights.sum()
    return [pairs[i] for i in np.searchsorted(np.cumsum(weights), at, side="right")]
