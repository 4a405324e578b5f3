"""What an ensemble's members are, and who scores for them: members that share a forward pass score together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pareto.config import Head, Model, Pooling
from pareto.errors import ParetoError
from pareto.objectives.ensemble.classifier import Foreign, LoraMembers
from pareto.objectives.ensemble.feature_cache import FeatureCache
from pareto.objectives.ensemble.features import BaseFeatures, EncoderFeatures, Progress, frozen_base
from pareto.objectives.ensemble.heads import Heads


class Scorer(Protocol):
    """Gives raw scores of several members."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], progress: Progress) -> NDArray[np.float64]:
        """(n, members)"""


class HeadMembers:
    """Heads on frozen features."""

    def __init__(self, cache: FeatureCache, heads: Heads) -> None:
        self._cache = cache
        self._heads = heads

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], progress: Progress) -> NDArray[np.float64]:
        """(n, members)"""
        return self._heads(self._cache(prompts, completions, progress))


def feature_cache(kind: Head, model: Model, pooling: Pooling, folder: Path | None) -> FeatureCache:
    """The features that heads of a kind read."""
    if kind == "encoder":
        from pareto.objectives.encoder import load_encoder

        return FeatureCache(EncoderFeatures(load_encoder()), folder)
    return FeatureCache(BaseFeatures(frozen_base(model), pooling), folder)


def scorers(
    path: Path,
    members: Sequence[Mapping[str, Any]],
    model: Model,
    heads: Mapping[str, Heads],
    caches: Mapping[str, FeatureCache],
) -> list[tuple[list[int], Scorer]]:
    """Who scores which columns.

    Args:
        path: the ensemble's folder, where LoRA members are.
        members: as ``ensemble.json`` lists them.
        model: the base model.
        heads: by kind, in the members' order.
        caches: by kind, the features of those heads.

    Raises:
        ParetoError: a foreign model cannot be loaded, or is not the one that the ensemble was made with.
    """
    at: dict[str, list[int]] = {}
    for i, member in enumerate(members):
        at.setdefault(member["kind"], []).append(i)
    out: list[tuple[list[int], Scorer]] = [(at[kind], HeadMembers(caches[kind], heads[kind])) for kind in heads]
    if "lora" in at:
        folders = [path / members[i]["file"] for i in at["lora"]]
        out.append((at["lora"], LoraMembers(frozen_base(model), folders)))
    for i in at.get("foreign", ()):
        foreign = Foreign(members[i]["source"])
        if foreign.revision != members[i]["revision"]:
            raise ParetoError(
                f"{path}: member {i}, '{members[i]['source']}', has changed since the ensemble was calibrated with it; "
                "train the ensemble anew"
            )
        out.append(([i], foreign.scores))
    return out
