"""Train a step network with transformers' ``Trainer``; a training that is killed goes on from its last checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pareto.errors import ParetoError
from pareto.objectives.process.hidden import Encoded, Vectors, padded
from pareto.store.files import discard

if TYPE_CHECKING:
    from torch import Tensor

    from pareto.objectives.process.network import StepNetwork

CHECKPOINTS = 4
"""Of a training."""


@dataclass(frozen=True)
class Example:
    """One solution as the network reads it."""

    read: Encoded | Vectors
    """Tokens, or features (steps, width)."""
    targets: tuple[float, ...]
    """Per step; NaN where it has no label."""
    where: str
    """It comes from, for messages."""


def collate(pad: int) -> Callable[[Sequence[Example]], dict[str, Tensor]]:
    """Makes batches of examples.

    Args:
        pad: token that fills rows up.

    Returns:
        A function that raises ParetoError, naming the solutions, on a batch without a label.
    """

    def batch(examples: Sequence[Example]) -> dict[str, Tensor]:
        targets = torch.tensor([t for e in examples for t in e.targets])
        if targets.isnan().all():
            raise ParetoError(f"no step has a label in a batch of {', '.join(e.where for e in examples)}")
        rows = [e.read for e in examples if isinstance(e.read, Encoded)]
        if rows:
            return {**padded(rows, pad), "targets": targets}
        features = [torch.from_numpy(e.read) for e in examples if not isinstance(e.read, Encoded)]
        return {"features": torch.cat(features), "targets": targets}

    return batch


def fit(
    network: StepNetwork,
    examples: Sequence[Example],
    work: Path,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    pad: int,
    cpu: bool,
    half: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, float]]:
    """Train it in place.

    Args:
        network: untrained.
        examples: each with a label.
        work: folder of the checkpoints, which may hold some of an earlier, killed call with the same arguments.
        steps: of the optimiser.
        batch_size: solutions per step.
        learning_rate: highest; it falls to 0 as a cosine.
        weight_decay: AdamW's.
        seed: of the order.
        pad: token that fills rows up.
        cpu: whether it stays there.
        half: ``bfloat16`` or ``float16`` to compute products in, or nothing.
        progress: called with (steps done, in all).

    Returns:
        What was logged.

    Raises:
        ParetoError: the loss or a weight is no number any more.
    """
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from pareto.training.dpo import Steps

    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        lr_scheduler_type="cosine",
        warmup_steps=round(0.1 * steps),
        seed=seed,
        bf16=half == "bfloat16",
        fp16=half == "float16",
        use_cpu=cpu,
        logging_steps=max(1, steps // 8),
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=max(1, math.ceil(steps / CHECKPOINTS)),
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=not cpu,
    )
    trainer: Any = Trainer(
        model=network,
        args=arguments,
        train_dataset=list(examples),
        data_collator=collate(pad),
        callbacks=[Steps(progress, steps)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_checkpoint(work))
    log = [{k: float(v) for k, v in row.items()} for row in trainer.state.log_history]
    losses = [row["loss"] for row in log if "loss" in row]
    weights = [p for p in network.parameters() if p.requires_grad]
    if not all(map(math.isfinite, losses)) or not all(bool(p.isfinite().all()) for p in weights):
        for begun in work.glob("checkpoint-*"):
            discard(begun)
        raise ParetoError(f"the loss is not a number any more; take a learning rate below {learning_rate:g}")
    return log


def last_checkpoint(work: Path) -> str | None:
    """The newest whole one; the state of the trainer is what it writes last."""
    whole = [p.parent for p in work.glob("checkpoint-*/trainer_state.json") if _readable(p.parent)]
    return str(max(whole, key=lambda p: int(p.name.rpartition("-")[2]))) if whole else None


def _readable(checkpoint: Path) -> bool:
    """Whether its weights have not been cut short."""
    from safetensors import SafetensorError, safe_open

    try:
        for file in checkpoint.glob("*.safetensors"):
            with safe_open(file, "pt") as weights:
                weights.keys()
    except (SafetensorError, OSError):
        return False
    return True
