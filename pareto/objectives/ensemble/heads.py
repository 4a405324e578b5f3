"""Heads on frozen features: k of them in one tensor program, so that five cost about as much as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pareto.objectives.ensemble.features import Vectors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Kind = Literal["linear", "mlp"]
HIDDEN = 64
"""Units of an MLP's hidden layer."""
START = 0.15
"""Nats."""
BATCH = 4096
"""Completions scored at a time: an MLP's hidden layer of all members has to fit."""


@dataclass(frozen=True)
class Heads:
    """k heads of one kind on the same features.

    A head has no bias of its own: a comparison cannot tell it, and ``AutoModelForSequenceClassification`` has none.
    """

    kind: Kind
    tensors: dict[str, NDArray[np.float32]]
    """``linear``: weight (k, width). ``mlp``: inner (k, hidden, width), bias (k, hidden), outer (k, hidden)."""

    def __call__(self, features: Vectors) -> NDArray[np.float64]:
        """Raw scores (n, k) of features (n, width)."""
        import torch

        tensors = {name: torch.from_numpy(t) for name, t in self.tensors.items()}
        with torch.inference_mode():
            parts = [forward(tensors, part) for part in torch.from_numpy(features).split(BATCH)]
            return np.asarray(torch.cat(parts).double().numpy())

    def take(self, members: Sequence[int]) -> Heads:
        """Some of them."""
        return Heads(self.kind, {name: np.ascontiguousarray(t[list(members)]) for name, t in self.tensors.items()})


def heads_file(kind: str) -> str:
    """Name of the file in an ensemble's folder."""
    return f"heads-{kind}.safetensors"


def write_heads(path: Path, heads: Heads) -> None:
    """Into a safetensors file, members along the first axis."""
    from safetensors.numpy import save_file

    save_file(heads.tensors, path, metadata={"kind": heads.kind})


def read_heads(path: Path) -> Heads:
    """As ``write_heads`` wrote them."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        kind: Kind = "linear" if file.metadata()["kind"] == "linear" else "mlp"
        return Heads(kind, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 it is no dict


def forward(tensors: dict[str, Tensor], features: Tensor) -> Tensor:
    """Scores (n, k) of features (n, width) by tensors as ``Heads`` has them."""
    import torch

    if "weight" in tensors:
        return features @ tensors["weight"].T
    hidden_KNH = torch.baddbmm(
        tensors["bias"][:, None, :],
        features.expand(len(tensors["inner"]), *features.shape),
        tensors["inner"].transpose(1, 2),
    ).tanh()
    return torch.bmm(hidden_KNH, tensors["outer"][:, :, None])[:, :, 0].T


def initial(kind: Kind, width: int, generator: torch.Generator) -> dict[str, Tensor]:
    """One untrained head on standardised features (k = 1).

    Its scores have a standard deviation of about ``START``: members need a start of their own, and one that outweighs
    what they learn costs accuracy (0.69 to 0.66 at 0.5, on 500 comparisons).
    """
    import torch

    if kind == "linear":
        return {"weight": torch.randn(1, width, generator=generator) * START / width**0.5}
    return {
        "inner": torch.randn(1, HIDDEN, width, generator=generator) / width**0.5,
        "bias": torch.zeros(1, HIDDEN),
        "outer": torch.randn(1, HIDDEN, generator=generator) * START / HIDDEN**0.5,
    }


def folded(kind: Kind, tensors: dict[str, Tensor], mean: Tensor, deviation: Tensor) -> Heads:
    """Heads on raw features from heads on standardised ones, (x − mean) / deviation; what shifts all scores goes."""
    out = dict(tensors)
    if kind == "linear":
        out["weight"] = tensors["weight"] / deviation
    else:
        out["inner"] = tensors["inner"] / deviation
        out["bias"] = tensors["bias"] - out["inner"] @ mean
    return Heads(kind, {name: np.ascontiguousarray(t.detach().cpu().numpy()) for name, t in out.items()})
