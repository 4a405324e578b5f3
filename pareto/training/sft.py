"""Teach a base model a task from worked examples, through TRL's ``SFTTrainer``, before a sweep starts from it."""

from __future__ import annotations

import fcntl
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from pareto.config import Lora, Model, Sft, Training
from pareto.errors import ParetoError
from pareto.models import fine_tuned, load
from pareto.prompts.arithmetic import problems
from pareto.store.files import discard, folder, folder_ok, sweep_leftovers, write_json
from pareto.training.adapters import lora_config

if TYPE_CHECKING:
    from datasets import Dataset

    from pareto.models import Base


def fine_tune(config: Model, progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """The folder of the fine-tuned model, trained now if it is not there yet.

    A training that is killed leaves nothing and begins again; of several processes one trains and the others wait.

    Args:
        config: a ``model`` section with ``sft``.
        progress: called with (steps done, steps in all).

    Returns:
        A folder as ``models.load`` opens it, float32.

    Raises:
        ParetoError: the base cannot be loaded, the examples do not fit it, or the loss is no number any more.
    """
    out = fine_tuned(config)
    if folder_ok(out):
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        if not folder_ok(out):  # else somebody else has made it while we waited
            sweep_leftovers(out.parent)
            discard(out)
            with folder(out) as made:
                _train(config, made, progress)
    return out


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other processes of this machine from making the same folder; whoever is killed lets go of it."""
    with open(out.with_name(f"{out.name}.lock"), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def examples(base: Base, sft: Sft) -> Dataset:
    """Every example once, tokenised as prompts and answers are elsewhere; only the answer has labels."""
    from datasets import Dataset

    rows = []
    for problem in islice(problems(f"sft {sft.seed}"), sft.steps * sft.batch_size):
        prompt, answer = base.prompt_ids(problem.text), base.completion_ids(problem.worked)
        if len(prompt) + len(answer) > base.context:
            raise ParetoError(
                f"model.sft: an example is {len(prompt) + len(answer)} tokens long and the context of {base.name} "
                f"is {base.context}; take a base with a longer one"
            )
        rows.append({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer})
    return Dataset.from_list(rows)


def _train(config: Model, out: Path, progress: Callable[[int, int], None]) -> None:
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from pareto.training.dpo import Steps, one_device, trainer_arguments
    from pareto.training.sft_forward import forward

    assert config.sft is not None
    sft = config.sft
    base = load(config.model_copy(update={"sft": None}))
    told = Training(batch_size=sft.batch_size, learning_rate=sft.learning_rate, warmup=sft.warmup)
    arguments = trainer_arguments(base, told, sft.steps, sft.seed)
    adapter = lora_config(base, Lora(rank=sft.rank, alpha=2 * sft.rank)) if sft.rank else None
    if adapter is None:
        # Small updates are lost in bfloat16 weights; these stay in float32, only the products are computed in less.
        base.model.float().requires_grad_(True)
    if base.device.type == "cpu":
        # torch's fused attention is slow backwards: a fifth of a step at these lengths.
        base.model.set_attn_implementation("eager")
    with tempfile.TemporaryDirectory() as scratch:
        args = SFTConfig(
            output_dir=scratch,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            train_sampling_strategy="group_by_length",
            logging_nan_inf_filter=False,
            **arguments,
        )
        one_device(args)
        trainer: Any = SFTTrainer(
            model=base.model,
            args=args,
            train_dataset=examples(base, sft),
            processing_class=base.tokenizer,
            peft_config=adapter,
            callbacks=[Steps(progress, sft.steps)],
        )
        trainer.remove_callback(PrinterCallback)
        base.model.forward = MethodType(forward(base), base.model)
        trainer.train()
    log = [{k: float(v) for k, v in row.items()} for row in trainer.state.log_history]
    if not all(math.isfinite(row["loss"]) for row in log if "loss" in row):
        raise ParetoError(f"model.sft: the loss is no number any more; take a learning_rate below {sft.learning_rate}")
    # What the merge adds is small, and would be rounded away in less than float32.
    model = trainer.model.float().merge_and_unload() if adapter else trainer.model
    model.save_pretrained(out)
    base.tokenizer.save_pretrained(out)
    write_json(out / "pareto.json", {"base": base.fingerprint, "model": config.model_dump(mode="json"), "log": log})
