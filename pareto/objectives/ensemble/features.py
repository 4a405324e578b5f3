"""Frozen features of (prompt, completion): what the heads of an ensemble read.

A feature is made once: by one forward pass for all members, all objectives and every time that the text comes again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pareto.config import Model, Pooling
from pareto.store.files import fingerprint, read_json

if TYPE_CHECKING:
    from pareto.models import Base
    from pareto.objectives.encoder import Encoder

BATCH = 16
Vectors = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called with (completions done, completions in all)."""


class Features(Protocol):
    """Turns (prompt, completion) into vectors."""

    @property
    def key(self) -> str:
        """Hash of all that makes them."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Vectors:
        """(n, width) of n texts, at best of about the same length: they go through in one batch."""


@functools.cache
def frozen_base(model: Model) -> Base:
    """The base model, loaded once per process for reading only: a run's live model may have adapters merged in."""
    from pareto.models import load

    return load(model)


def template_hash(base: Path) -> str:
    """Of the chat template in a model's folder, without loading its tokenizer."""
    file, config = base / "chat_template.jinja", base / "tokenizer_config.json"
    if file.is_file():
        return fingerprint(file.read_text(encoding="utf-8"))
    return fingerprint(read_json(config).get("chat_template") if config.is_file() else None)


def conversation(base: Base, prompt: str, completion: str) -> list[int]:
    """Tokens of a prompt with its answer and the end of the turn; of one longer than the context, the last that fit."""
    return [*base.prompt_ids(prompt), *base.completion_ids(completion)][-base.context :]


@contextmanager
def depth(backbone: Any, pooling: str) -> Iterator[None]:
    """Run only the layers that are read: all but for ``middle``, or where an architecture keeps them elsewhere."""
    layers = getattr(backbone, "layers", None)
    if layers is None or pooling != "middle":
        yield
        return
    backbone.layers = layers[: -(-2 * len(layers) // 3)]
    try:
        yield
    finally:
        backbone.layers = layers


class BaseFeatures:
    """Hidden states of the base model, after its final norm.

    ``middle``: after two thirds of the layers, that of the end of the turn beside the mean over the completion's
    tokens. Accuracy of a linear head on SmolLM2-135M, 116 prompts, ``middle`` against ``last``: helpful 0.69 against
    0.59, honest 0.93 against 0.89, harmless 0.56 against 0.53, concise 0.98 both; in two thirds of the time.
    """

    def __init__(self, base: Base, pooling: Pooling) -> None:
        self._base = base
        self._pooling = pooling
        made_by = [base.fingerprint, template_hash(base.path), base.system, str(base.model.dtype), pooling]
        self.key = fingerprint(["base", *made_by])
        self.width = int(base.model.config.get_text_config().hidden_size) * (2 if pooling == "middle" else 1)

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Vectors:
        """(n, width)"""
        import torch

        base = self._base
        rows = [conversation(base, p, c) for p, c in zip(prompts, completions, strict=True)]
        ends = torch.tensor([len(row) - 1 for row in rows], device=base.device)
        ids = torch.full((len(rows), int(ends.max()) + 1), base.end_id, device=base.device)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        at = torch.arange(ids.size(1), device=base.device)
        mask_BT = at <= ends[:, None]
        with torch.inference_mode(), depth(base.model.base_model, self._pooling):
            hidden_BTD = base.model.base_model(
                input_ids=ids, attention_mask=mask_BT.long(), use_cache=False
            ).last_hidden_state
            pooled = hidden_BTD[torch.arange(len(rows), device=base.device), ends].float()
            if self._pooling == "middle":
                lengths = torch.tensor([len(base.completion_ids(c)) for c in completions], device=base.device)
                answer_BT = mask_BT & (at > (ends - lengths)[:, None])
                answer_BT1 = answer_BT[:, :, None].float()
                pooled = torch.cat([pooled, (hidden_BTD.float() * answer_BT1).sum(1) / answer_BT1.sum(1)], dim=1)
            return np.asarray(pooled.cpu().numpy())


class EncoderFeatures:
    """A sentence encoder's view: the completion c, its product with the prompt p, and |p − c|."""

    def __init__(self, encoder: Encoder) -> None:
        from pareto.objectives.encoder import PACKAGE

        self._encoder = encoder
        self.key = fingerprint(["encoder", PACKAGE, version(PACKAGE)])
        self.width = 3 * int(encoder.embed([""]).shape[1])

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Vectors:
        """(n, 3 × the encoder's width)"""
        p, c = self._encoder.embed_kept(prompts), self._encoder.embed(completions)
        return np.concatenate([c, p * c, np.abs(p - c)], axis=1)
