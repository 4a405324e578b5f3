"""The plain TRL way: per weight setting a fresh model, a generation pass, and a stock ``DPOTrainer``.

What one gets by looping a script over weights. It trains on the same comparisons as the sweep, so that only
the way differs; its generation pass samples what it would have needed to make them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pareto.config import Recipe
from pareto.models import Base, load
from pareto.records import Comparison, Prompt, Rollout
from pareto.training.adapters import lora_config
from pareto.training.dpo import trainer_arguments

if TYPE_CHECKING:
    from peft import PeftModel


def generate(base: Base, recipe: Recipe, prompts: Sequence[Prompt]) -> float:
    """One generation pass over the training prompts with ``transformers``' own ``generate``.

    Returns:
        Seconds.
    """
    import torch

    sampling = recipe.sampling
    began = time.monotonic()
    ordered = sorted((base.prompt_ids(p.text) for p in prompts), key=len)
    per_batch = max(1, 32 // recipe.rollouts.per_prompt)
    torch.manual_seed(recipe.seed)
    pad = int(base.tokenizer.pad_token_id)
    for start in range(0, len(ordered), per_batch):
        rows = ordered[start : start + per_batch]
        width = max(map(len, rows))
        ids = torch.tensor([[pad] * (width - len(r)) + r for r in rows], device=base.device)
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=base.device)
        with torch.inference_mode():
            base.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                max_new_tokens=sampling.max_new_tokens,
                num_return_sequences=recipe.rollouts.per_prompt,
                pad_token_id=pad,
            )
    return time.monotonic() - began


def train_plain(
    recipe: Recipe, prompts: Sequence[Prompt], pool: Sequence[Rollout], comparisons: Sequence[Comparison]
) -> tuple[PeftModel, dict[str, float]]:
    """One weight setting from scratch: load, generate, train A and B with TRL's own references.

    Returns:
        The trained model, and seconds by phase with the tokens trained on.
    """
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import DPOConfig, DPOTrainer

    training = recipe.training
    began = time.monotonic()
    base = load(recipe.model)
    loaded = time.monotonic() - began
    generated = generate(base, recipe, prompts)
    text = {p.id: p.text for p in prompts}
    data = Dataset.from_list(
        [
            {
                "prompt": [{"role": "system", "content": base.system}, {"role": "user", "content": text[c.prompt_id]}],
                "chosen": [{"role": "assistant", "content": pool[c.chosen].text}],
                "rejected": [{"role": "assistant", "content": pool[c.rejected].text}],
            }
            for c in comparisons
        ]
    )
    arguments = trainer_arguments(base, training, training.steps, recipe.seed)
    # With A trained too, the usual rate; the sweep doubles it because only B moves.
    arguments["learning_rate"] = training.learning_rate / 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        trainer: Any = DPOTrainer(
            model=base.model,
            args=DPOConfig(
                output_dir=scratch,
                loss_type=["sigmoid", "sft"],
                loss_weights=[1.0, training.sft_weight],
                beta=training.beta,
                **arguments,
            ),
            train_dataset=data,
            processing_class=base.tokenizer,
            peft_config=lora_config(base, training.lora.model_copy(update={"layers": None})),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    trained = time.monotonic() - began
    tokens = float(trainer.state.log_history[-2].get("num_tokens", 0.0))
    return trainer.model, {"load": loaded, "roll out": generated, "train": trained, "tokens": tokens}
