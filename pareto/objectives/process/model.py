"""The folder of a process reward model, and scoring with it.

``process.json`` says what it was trained on and how well it does; ``process.safetensors`` holds what was learnt: a
head on the base model's hidden states, or a head and LoRA inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.config import Model
from pareto.errors import ParetoError
from pareto.objectives.ensemble.features import frozen_base, template_hash
from pareto.objectives.process.aggregate import How
from pareto.objectives.process.hidden import BATCH, Encoded, StepFeatures, Vectors, encode, padded, read_steps
from pareto.store.files import fingerprint, sealed_info

if TYPE_CHECKING:
    from torch import Tensor

    from pareto.models import Base
    from pareto.objectives.process.network import StepNetwork

INFO = "process.json"
WEIGHTS = "process.safetensors"


class ProcessModel:
    """Tells of each step of a completion how likely it is to be right."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path = path
        self.info = info
        """``process.json``."""

    @classmethod
    def open(cls, path: str | Path) -> ProcessModel:
        """Open a folder that `pareto process train` made.

        Raises:
            ParetoError: it is missing, damaged or of a newer version; the base model's weights, tokenizer or chat
                template are not those that it was trained with.
        """
        path = Path(path)
        info = sealed_info(path, INFO, "a process reward model", "pareto process train")
        there = base_state(Model.model_validate(info["model"]))
        if there != info["base"]:
            raise ParetoError(
                f"{path}: it was trained on another state of {info['model']['base']} (weights, configuration, "
                "tokenizer or chat template differ); put that back or train anew"
            )
        return cls(path, info)

    @property
    def fingerprint(self) -> str:
        """Of all that makes its scores."""
        return fingerprint([self.info["specification"], self.info["weights"]])

    @property
    def how(self) -> How:
        """How its steps become one reward, unless an objective says otherwise."""
        how: How = self.info["how"]
        return how

    @property
    def threshold(self) -> float:
        """Steps of a lower probability are called wrong."""
        return float(self.info["threshold"])

    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[tuple[float, ...]]:
        """Probability of each step of n completions to be right, in the order of ``split_steps``.

        Args:
            prompts: n texts, without chat template.
            completions: n texts.
            progress: called with (completions done, in all).

        Raises:
            ValueError: see ``hidden.encode``.
        """
        base, network = self._network
        rows = [encode(base, p, c) for p, c in zip(prompts, completions, strict=True)]
        if network.backbone is not None:
            return probabilities(network, base, rows, progress)
        features = StepFeatures(base, self.info["settings"]["reads"])
        return probabilities(network, base, read_steps(features, rows, progress))

    def first_error(self, steps: Sequence[float]) -> int | None:
        """The first of some steps that is called wrong, from 0."""
        return next((k for k, p in enumerate(steps) if p < self.threshold), None)

    @cached_property
    def _network(self) -> tuple[Base, StepNetwork]:
        from safetensors.torch import load_file

        base, network = new_network(self.info["settings"], Model.model_validate(self.info["model"]))
        try:
            network.load_learnt(load_file(self.path / WEIGHTS))
        except ValueError as e:
            raise ParetoError(f"{self.path}: {e}") from None
        return base, network.eval()


def base_state(model: Model) -> list[str]:
    """By which a base model is known again: hash of weights, configuration and tokenizer; of the chat template.

    Raises:
        ParetoError: see ``models.resolve``.
    """
    from pareto.model_sources import resolve
    from pareto.models import fine_tuned
    from pareto.models import fingerprint as model_fingerprint

    path = resolve(model.base) if model.sft is None else fine_tuned(model)
    if not path.is_dir():
        raise ParetoError(f"model.sft: {path} is not there; `pareto sweep` of the recipe makes it")
    return [model_fingerprint(path), template_hash(path)]


def new_network(settings: dict[str, Any], model: Model) -> tuple[Base, StepNetwork]:
    """The base and an untrained network for it; with LoRA the base is a copy of its own, in float32."""
    from pareto.models import load
    from pareto.objectives.process.network import StepNetwork

    kind = settings["kind"]
    if kind != "lora":
        base = frozen_base(model)
        return base, StepNetwork(kind, StepFeatures(base, settings["reads"]).width)
    # Small updates are lost in bfloat16.
    base = load(model.model_copy(update={"dtype": "float32"}))
    width = int(base.model.config.get_text_config().hidden_size)
    return base, StepNetwork(kind, width, base.model.base_model).to(base.device)


def probabilities(
    network: StepNetwork,
    base: Base,
    reads: Sequence[Encoded | Vectors],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[tuple[float, ...]]:
    """Of each step of each row to be right.

    Args:
        network: in evaluation mode.
        base: what it stands on.
        reads: rows as the network reads them: tokens where it has a backbone, else features (steps, width).
        progress: called with (rows done, in all).
    """
    import torch

    out: list[tuple[float, ...]] = [()] * len(reads)

    def take(part: Sequence[int], steps: Sequence[int], inputs: dict[str, Tensor]) -> None:
        with torch.inference_mode():
            found = iter(network(**inputs)["logits"].double().sigmoid().tolist())
        for i, n in zip(part, steps, strict=True):
            out[i] = tuple(next(found) for _ in range(n))

    tokens = {i: row for i, row in enumerate(reads) if isinstance(row, Encoded) and row.ends}
    order = sorted(tokens, key=lambda i: len(tokens[i].ids))
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        batch = [tokens[i] for i in part]
        inputs = {name: t.to(base.device) for name, t in padded(batch, base.end_id).items()}
        take(part, [len(row.ends) for row in batch], inputs)
        progress(start + len(part), len(order))
    for i, features in enumerate(reads):
        if not isinstance(features, Encoded) and len(features):
            take([i], [len(features)], {"features": torch.from_numpy(features)})
    return out
