"""From labelled solutions to the folder of a process reward model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto import __version__
from pareto.config import Model
from pareto.errors import ParetoError
from pareto.objectives.ensemble.checks import check_folder, prompt_hash
from pareto.objectives.process.aggregate import How
from pareto.objectives.process.hidden import Encoded, Reads, StepFeatures, TooLong, Vectors, encode
from pareto.objectives.process.model import (
    INFO,
    WEIGHTS,
    ProcessModel,
    base_state,
    new_network,
    probabilities,
)
from pareto.records import SCHEMA
from pareto.store.files import discard, fingerprint, folder, sha256_file, write_bytes, write_json
from pareto.training.process.feature_files import step_features
from pareto.training.process.labels import first_wrong
from pareto.training.process.metrics import best_threshold, process_report
from pareto.training.process.solutions import Solution

if TYPE_CHECKING:
    from pareto.models import Base
    from pareto.objectives.process.network import Kind, StepNetwork
    from pareto.training.process.network_training import Example

Told = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""
RATE = {"linear": 0.02, "mlp": 0.01, "lora": 5e-4}
STEPS = {"linear": 400, "mlp": 400}
"""Of the optimiser; ``lora`` passes once over the solutions."""
SIZE = {"linear": 64, "mlp": 64, "lora": 8}
"""Solutions per step."""
DECAY = 0.01


@dataclass(frozen=True)
class Settings:
    """How a process reward model is trained."""

    kind: Kind = "mlp"
    """A head on the frozen base, or LoRA in it."""
    reads: Reads = "surprise"
    """What a head reads, see ``StepFeatures``; nothing to LoRA."""
    steps: int | None = None
    """Of the optimiser; ``None``: what suits the kind."""
    learning_rate: float | None = None
    """Likewise."""
    held_out: float = 0.25
    """Share of the prompts that it is only measured on."""
    how: How = "min"
    """How steps become one reward."""


def train_process(
    solutions: Sequence[Solution],
    settings: Settings,
    model: Model,
    out: Path,
    *,
    cache: Path,
    seed: int = 0,
    progress: Told = lambda what, done, total: None,
    note: Callable[[str], None] = lambda line: None,
) -> ProcessModel:
    """Train a model, or go on where an earlier call was killed.

    Solutions without a label are left out, and so are those that do not fit the model's context.

    Args:
        solutions: labelled ones.
        settings: how.
        model: the base.
        out: the model's folder. One made of the same is opened as it is.
        cache: folder of features and checkpoints.
        seed: of the split, the head and the order.
        progress: of the longest steps.
        note: called with one line for what the user should know.

    Raises:
        ParetoError: no labels, labels of one kind only, too few prompts; ``out`` holds something else; the base cannot
            be loaded; the loss is no number any more.
    """
    made_from: dict[str, Any] = {
        "model": model.model_dump(mode="json"),
        "base": base_state(model),
        "settings": asdict(settings),
        "seed": seed,
        "solutions": fingerprint([[s.prompt, s.completion, [x.right for x in s.labels or ()]] for s in solutions]),
    }
    specification = fingerprint(made_from)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        return _made_already(out, specification)
    training, held_out = _split(solutions, settings.held_out, seed)
    left_out = len(solutions) - len(training) - len(held_out)
    if left_out:
        note(f"{left_out} of {len(solutions)} solutions have no labelled step; left out")
    _check(training, held_out)
    check_folder(out.parent)
    check_folder(cache)
    work = cache / "process" / specification
    import torch
    from safetensors.torch import save

    from pareto.training.process.network_training import Example

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base, network = new_network(made_from["settings"], model)
    training, rows = _encoded(base, training, note)
    held_out, held_rows = _encoded(base, held_out, note)
    _check(training, held_out)
    read = _reader(settings, base, cache, progress)
    reads, held_reads = read(rows, "the solutions"), read(held_rows, "what is held out")
    examples = [
        Example(r, tuple(x.target for x in s.labels or ()), s.where) for r, s in zip(reads, training, strict=True)
    ]
    _fit(network, base, settings, model, examples, work, seed, progress)
    said = probabilities(network, base, reads, lambda d, t: progress("score the solutions", d, t))
    measured = probabilities(network, base, held_reads, lambda d, t: progress("score what is held out", d, t))
    threshold = best_threshold(said, [s.labels or () for s in training])
    first_errors = [first_wrong(s.labels or ()) for s in training]
    with folder(out) as inside:
        write_bytes(inside / WEIGHTS, save({k: t.contiguous().cpu() for k, t in network.state_dict().items()}))
        info = {
            "schema": SCHEMA,
            "version": __version__,
            "specification": specification,
            **made_from,
            "weights": sha256_file(inside / WEIGHTS),
            "sources": sorted({x.source for s in training for x in s.labels or ()}),
            "labels": sum(x.right is not None for s in training for x in s.labels or ()),
            "first_errors": first_errors,
            "seen": sorted({prompt_hash(s.prompt) for s in training}),
            "threshold": threshold,
            "how": settings.how,
            "report": process_report(
                measured,
                [s.measured_by for s in held_out],
                [len(s.completion) for s in held_out],
                training=first_errors,
                threshold=threshold,
                how=settings.how,
            ),
        }
        write_json(inside / INFO, info)
    discard(work)
    return ProcessModel.open(out)


def _made_already(out: Path, specification: str) -> ProcessModel:
    if not (out / INFO).is_file():
        raise ParetoError(f"{out}: exists and holds something else; name a folder that is not there yet")
    found = ProcessModel.open(out)
    if found.info["specification"] != specification:
        raise ParetoError(f"{out}: holds a model made of something else or otherwise; name another folder")
    return found


def _split(solutions: Sequence[Solution], held_out: float, seed: int) -> tuple[list[Solution], list[Solution]]:
    """Those with labels, by prompt, ordered by a hash, so that most stay where they were when others join them."""
    known = [s for s in solutions if s.labelled or any(x.right is not None for x in s.measured_by)]
    prompts = sorted({s.prompt for s in known}, key=lambda p: hashlib.sha256(f"{seed}:{p}".encode()).digest())
    out = set(prompts[: math.ceil(held_out * len(prompts))])
    return [s for s in known if s.prompt not in out and s.labelled], [s for s in known if s.prompt in out]


def _check(training: Sequence[Solution], held_out: Sequence[Solution]) -> None:
    targets = [x.target for s in training for x in s.labels or () if x.right is not None]
    if not targets:
        raise ParetoError("no labelled step to learn from; label some, or take --labels verified")
    if not any(t < 0.5 for t in targets) or not any(t >= 0.5 for t in targets):
        kind = "right" if targets[0] >= 0.5 else "wrong"
        raise ParetoError(f"all {len(targets)} labelled steps to learn from are {kind}: there is nothing to tell apart")
    if not held_out:
        raise ParetoError("no prompt is left to measure the model on; give solutions of more prompts")


def _encoded(
    base: Base, solutions: Sequence[Solution], note: Callable[[str], None]
) -> tuple[list[Solution], list[Encoded]]:
    kept, rows = [], []
    for s in solutions:
        try:
            rows.append(encode(base, s.prompt, s.completion))
        except TooLong as e:
            note(f"{s.where or 'a solution'}: {e}; left out")
            continue
        except ValueError as e:
            raise ParetoError(f"model.base: {e}") from None
        kept.append(s)
    return kept, rows


def _reader(
    settings: Settings, base: Base, cache: Path, told: Told
) -> Callable[[Sequence[Encoded], str], Sequence[Encoded | Vectors]]:
    """Turns rows, given what they are, into what the network reads: themselves, or features."""
    if settings.kind == "lora":
        return lambda rows, what: rows
    features = StepFeatures(base, settings.reads)
    return lambda rows, what: step_features(features, rows, cache, lambda d, t: told(f"read {what}", d, t))


def _fit(
    network: StepNetwork,
    base: Base,
    settings: Settings,
    model: Model,
    examples: Sequence[Example],
    work: Path,
    seed: int,
    told: Told,
) -> None:
    """Train the network in place, and leave it as scoring wants it."""
    import torch

    from pareto.models import pick_dtype
    from pareto.training.process.network_training import fit

    lora = settings.kind == "lora"
    if not lora:
        targets = torch.tensor([t for e in examples for t in e.targets])
        features = torch.cat([torch.from_numpy(e.read) for e in examples if not isinstance(e.read, Encoded)])
        network.standardise(features[~targets.isnan()])
    fit(
        network.train(),
        examples,
        work,
        steps=settings.steps or STEPS.get(settings.kind) or math.ceil(len(examples) / SIZE[settings.kind]),
        batch_size=SIZE[settings.kind],
        learning_rate=settings.learning_rate or RATE[settings.kind],
        weight_decay=DECAY,
        seed=seed,
        pad=base.end_id,
        cpu=base.device.type == "cpu",
        half=str(pick_dtype(model.dtype, base.device)).removeprefix("torch.") if lora else "",
        progress=lambda d, t: told("train", d, t),
    )
    network.eval().to(base.device if lora else "cpu")
