"""Run one of TRL's trainers with checkpoints, and go on from the newest as if it had never been killed.

A state is saved and restored at one and the same place, before a step's first forward pass: what the trainer does
between two steps then needs no thought. The order of the data is transformers' own doing when it resumes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerState
from trl.trainer.utils import RepeatSampler

from pareto.training.checkpoint import Checkpoints, Saved


def run(trainer: Any, checkpoints: Checkpoints | None, scratch: Path) -> None:
    """``trainer.train()``, from the newest checkpoint on where there is one.

    The tensors end bit for bit as without a restart; means in the log that a restart falls into are over the steps
    since.

    Args:
        trainer: built, with what is not trained frozen.
        checkpoints: of this adapter, or ``None`` for a plain training.
        scratch: a folder of nobody else's.
    """
    if checkpoints is None:
        trainer.train()
        return
    shapes = {name: p.shape for name, p in trainer.model.named_parameters() if p.requires_grad}
    saved = checkpoints.newest(shapes)
    trainer.add_callback(_Between(checkpoints, saved))
    if saved is None:
        trainer.train()
        return
    _go_through_earlier_epochs(trainer, saved.step)
    state = TrainerState(
        global_step=saved.step,
        log_history=[dict(row) for row in saved.log],
        train_batch_size=trainer.args.train_batch_size,
    )
    state.compute_steps(trainer.args, trainer.args.max_steps)
    begun = scratch / f"from-{saved.step}"
    begun.mkdir()
    state.save_to_json(str(begun / "trainer_state.json"))
    # Only the step and the log come from there: transformers' own files of tensors are pickled.
    trainer._load_from_checkpoint = lambda *_: None
    trainer.train(resume_from_checkpoint=str(begun))


class _Between(TrainerCallback):
    """Saves between two steps, and restores once before the first."""

    def __init__(self, checkpoints: Checkpoints, saved: Saved | None) -> None:
        self.checkpoints, self.saved = checkpoints, saved

    def on_step_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        optimizer: Any = None,
        lr_scheduler: Any = None,
        **kwargs: Any,
    ) -> None:
        """Save or restore."""
        if self.saved is not None:
            _restore(self.saved, model, optimizer, lr_scheduler)
            self.saved = None
        elif state.global_step and state.global_step % self.checkpoints.asked.every == 0:
            self.checkpoints.write(_state(state, model, optimizer, lr_scheduler))


def _state(state: Any, model: Any, optimizer: Any, schedule: Any) -> Saved:
    told = optimizer.state_dict()
    trained = _trained(model, optimizer)
    tensors = {f"value/{name}": p.detach() for name, p in trained}
    for index, (name, _) in enumerate(trained):
        tensors |= {f"{moment}/{name}": value for moment, value in told["state"][index].items()}
    tensors["random/cpu"] = torch.get_rng_state()
    device = trained[0][1].device
    if device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(device)
    rest = {
        "groups": told["param_groups"],
        "schedule": schedule.state_dict(),
        "scaler": optimizer.scaler.state_dict() if optimizer.scaler else {},
    }
    log = [{k: v for k, v in row.items() if isinstance(v, int | float)} for row in state.log_history]
    return Saved(state.global_step, log, tensors, rest)


@torch.no_grad()
def _restore(saved: Saved, model: Any, optimizer: Any, schedule: Any) -> None:
    trained = _trained(model, optimizer)
    moments: dict[int, dict[str, Tensor]] = {index: {} for index in range(len(trained))}
    at = {name: index for index, (name, _) in enumerate(trained)}
    for key, value in saved.tensors.items():
        kind, name = key.split("/", 1)
        if kind == "value":
            trained[at[name]][1].copy_(value)
        elif kind != "random":
            moments[at[name]][kind] = value
    optimizer.load_state_dict({"state": moments, "param_groups": saved.rest["groups"]})
    schedule.load_state_dict(saved.rest["schedule"])
    if optimizer.scaler and saved.rest["scaler"]:
        optimizer.scaler.load_state_dict(saved.rest["scaler"])
    torch.set_rng_state(saved.tensors["random/cpu"])
    device = trained[0][1].device
    if device.type == "cuda" and "random/cuda" in saved.tensors:
        torch.cuda.set_rng_state(saved.tensors["random/cuda"], device)


def _trained(model: Any, optimizer: Any) -> list[tuple[str, Tensor]]:
    """Names and parameters in the order in which the optimiser numbers them."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [(names[id(p)], p) for group in optimizer.param_groups for p in group["params"]]


def _go_through_earlier_epochs(trainer: Any, step: int) -> None:
    """Bring the sampler of GRPO and RLOO to its epoch: its order depends on how often it was gone through."""
    made = trainer._get_train_sampler

    def sampler(dataset: Any = None) -> Any:
        out = made(dataset)
        if isinstance(out, RepeatSampler):
            for _ in range(step // (out.num_samples // out.batch_size)):
                next(iter(out))
        return out

    trainer._get_train_sampler = sampler
