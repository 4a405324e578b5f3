"""DPO through TRL's ``DPOTrainer``, with what every weight setting shares computed once.

Three things differ from the plain way, none of them the loss: the reference log-probabilities come from
the pool; the layers below the adapters come from the trunk; and the vocabulary is scored at the
completion's positions only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recomputed
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer
from trl.trainer.utils import FusedCausalLMOutput

from pareto.config import Training
from pareto.models import Base
from pareto.records import Comparison, Rollout
from pareto.training.adapters import State, freeze_a, lora_config, put, take
from pareto.training.checkpoint import Checkpoints
from pareto.training.resume import run
from pareto.training.trunk import Trunk


class SharedDPOTrainer(DPOTrainer):
    """TRL's trainer on rows that are tokenised and carry their reference log-probabilities."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


def rows(
    prompt_ids: dict[str, list[int]],
    pool: Sequence[Rollout],
    comparisons: Sequence[Comparison],
    handicaps: Sequence[float] | None = None,
) -> Dataset:
    """TRL's columns for comparisons of the pool.

    Args:
        prompt_ids: prompt id → tokens.
        pool: the candidates.
        comparisons: pairs of them.
        handicaps: one per comparison, nats: how much more the chosen must gain over the rejected than the loss asks
            for by itself (a margin m of the loss is a handicap of m / β).
    """
    handicaps = handicaps or [0.0] * len(comparisons)
    return Dataset.from_list(
        [
            {
                "prompt_ids": prompt_ids[c.prompt_id],
                "chosen_ids": list(pool[c.chosen].token_ids),
                "rejected_ids": list(pool[c.rejected].token_ids),
                "ref_chosen_logps": pool[c.chosen].logp + handicap,
                "ref_rejected_logps": pool[c.rejected].logp,
            }
            for c, handicap in zip(comparisons, handicaps, strict=True)
        ]
    )


def train_dpo(
    base: Base,
    training: Training,
    data: Dataset,
    a: State,
    start: State | None,
    trunk: Trunk | None,
    *,
    steps: int,
    seed: int,
    scratch: Path,
    progress: Callable[[int, int], None],
    both: bool = False,
    checkpoints: Checkpoints | None = None,
    parts: int = 1,
    processes: int = 1,
) -> tuple[State, State, list[dict[str, float]]]:
    """Train one adapter's B, or both of its factors.

    Args:
        base: the live model with nothing merged into it; left as it was.
        training: method settings.
        data: from ``rows``.
        a: the shared A; asserted to be untouched at the end, unless both factors are trained.
        start: the B to start from, or ``None`` for zeros.
        trunk: the shared lower layers, or ``None`` to run all layers at every step.
        steps: optimiser steps.
        seed: of the order of the data.
        scratch: a folder that the trainer may write to; nothing in it is kept.
        progress: called with (steps done, steps in all).
        both: train A too, which makes it the adapter's own.
        checkpoints: of this adapter, to go on from and to write; ``None`` for neither.
        parts: that a batch is run in, one after the other, for a memory that does not hold it whole. The loss is that
            of the whole batch up to rounding; a step takes about a third longer, as each part is run once more for
            its gradients.
        processes: that train together, each on its part of a batch. The gradient is the mean of theirs, which the
            likelihood term, a mean over tokens, sees: the adapter differs a little from that of one process.

    Returns:
        A, B, and the trainer's log, one row per logging step.
    """
    args = DPOConfig(
        output_dir=str(scratch),
        loss_type=["sigmoid", "sft"] if training.sft_weight else ["sigmoid"],
        loss_weights=[1.0, training.sft_weight] if training.sft_weight else [1.0],
        beta=training.beta,
        precompute_ref_log_probs=True,
        max_length=None,
        **trainer_arguments(base, training, steps, seed, processes),
    )
    one_device(args)
    trainer: Any = SharedDPOTrainer(
        model=base.model,
        args=args,
        train_dataset=data,
        processing_class=base.tokenizer,
        peft_config=lora_config(base, training.lora),
        callbacks=[Steps(progress, steps)],
    )
    trainer.remove_callback(PrinterCallback)
    try:
        put(trainer.model, a, start)
        if not both:
            freeze_a(trainer.model)
        base.model.forward = MethodType(_forward(base, trunk, parts), base.model)
        run(trainer, checkpoints, scratch)
        a_after, b = take(trainer.model)
        if not both and any(not torch.equal(a[k], a_after[k]) for k in a):
            raise AssertionError("the shared A changed in training")
        log = [{k: float(v) for k, v in row.items()} for row in trainer.state.log_history]
    finally:
        restore(trainer.model, base.model)
    return a_after, b, log


def one_device(args: Any) -> None:
    """Keep transformers from sharing a batch out among all the GPUs that this process sees: it has one."""
    args._n_gpu = min(1, args.n_gpu)


def trainer_arguments(base: Base, training: Training, steps: int, seed: int, processes: int = 1) -> dict[str, Any]:
    """What all of TRL's trainers are told alike."""
    return {
        "per_device_train_batch_size": training.batch_size // processes,
        "max_steps": steps,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": round(training.warmup * steps),
        "seed": seed,
        "bf16": base.model.dtype == torch.bfloat16,
        "fp16": base.model.dtype == torch.float16,
        "use_cpu": base.device.type == "cpu",
        "gradient_checkpointing": False,
        "logging_steps": max(1, steps // 8),
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": base.device.type != "cpu",
    }


def restore(wrapped: Any, model: Any) -> None:
    """Take the adapter and the trainer's patches off the live model again."""
    model.__dict__.pop("forward", None)
    wrapped.unload()
    model.eval()
    model.requires_grad_(False)


class Steps(TrainerCallback):
    """Reports each finished step."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self.progress, self.total = progress, total

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the step."""
        self.progress(state.global_step, self.total)


def _forward(base: Base, trunk: Trunk | None, parts: int) -> Callable[..., FusedCausalLMOutput]:
    """A forward for TRL's fused head that scores the vocabulary at labelled positions only."""

    def score(ids: Tensor, mask: Tensor, labels: Tensor, below: Tensor | None) -> tuple[Tensor, ...]:
        if trunk is None:
            hidden = base.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        else:
            with trunk.upper() as backbone:
                hidden = backbone(inputs_embeds=below, attention_mask=mask, use_cache=False)
        scored = labels[:, 1:] != -100
        logits = base.logits(hidden.last_hidden_state[:, :-1][scored])
        targets = labels[:, 1:][scored]
        normaliser = logits.logsumexp(1)
        logp = logits.gather(1, targets[:, None]).squeeze(1) - normaliser
        with torch.no_grad():
            seen = logits.detach()
            entropy = normaliser - torch.linalg.vecdot((seen - normaliser[:, None]).exp_(), seen)
            mean, top = seen.mean(1), seen.argmax(1) == targets
        spread = [v.new_zeros(scored.shape).masked_scatter(scored, v) for v in (logp, entropy, mean, top)]
        return tuple(spread)

    def forward(self: Any, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, **_: Any) -> FusedCausalLMOutput:
        scores = []
        pieces = (t.chunk(parts) for t in (input_ids, attention_mask, labels))
        for ids, mask, wanted in zip(*pieces, strict=True):
            below = None if trunk is None else trunk.hidden(ids, mask)
            if parts == 1:
                scores.append(score(ids, mask, wanted, below))
            else:
                scores.append(recomputed(score, ids, mask, wanted, below, use_reentrant=False))
        logp, entropy, mean, top = (torch.cat(column) for column in zip(*scores, strict=True))
        return FusedCausalLMOutput(
            loss=-logp[labels[:, 1:] != -100].mean(),
            log_probs=logp,
            entropy=entropy,
            mean_logits=mean,
            is_top1=top,
        )

    return forward
