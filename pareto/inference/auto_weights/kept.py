"""Learned weights in a run's folder: one safetensors file, sealed, with all that is no array as JSON in its header."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.inference.auto_weights.familiar import Familiar
from pareto.inference.auto_weights.learned import Learned
from pareto.inference.auto_weights.measured import state
from pareto.inference.auto_weights.regression import Ensemble, HeldOut, Learner
from pareto.inference.auto_weights.stated import Stated
from pareto.records import SCHEMA
from pareto.store.files import fingerprint, to_json, write_bytes
from pareto.store.run import Run

FILE = "auto_weights.safetensors"
_HEADER = "pareto"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Kept:
    """What ``pareto weights learn`` left."""

    learned: Learned
    stated: Stated
    """What was wanted of the prompts."""


def save(run: Run, kept: Kept) -> None:
    """Put it into the run's folder, in one step. Raises ParetoError on a full disk."""
    from safetensors.numpy import save as serialise

    learned = kept.learned
    arrays: Arrays = {
        "weights": learned.weights,
        "utility": learned.utility,
        "predicted": learned.held_out.predicted,
        "fold": learned.held_out.fold,
        "features": learned.familiar.x,
        "groups": learned.familiar.groups,
    }
    for layer in range(len(learned.ensemble.members[0])):
        for part, name in enumerate(("matrix", "offset")):
            arrays[f"{name}.{layer}"] = np.stack([member[layer][part] for member in learned.ensemble.members])
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    body = {
        "schema": SCHEMA,
        "state": state(run),
        "stated": kept.stated.to_json(),
        "ids": list(learned.ids),
        "learner": asdict(learned.learner),
        "errors": learned.errors,
        "texts": list(learned.familiar.texts),
        "sources": list(learned.familiar.sources),
    }
    header = to_json(body | {"seal": _seal(body, arrays)})
    write_bytes(run.path / FILE, serialise(arrays, metadata={_HEADER: header}))


def load(run: Run) -> Kept:
    """Read it back.

    Raises:
        ParetoError: there is none, it is damaged, or the run's policies are others since.
    """
    path = run.path / FILE
    again = f"pareto weights learn {run.name} --utility …"
    if not path.is_file():
        raise ParetoError(f"run '{run.name}' has no learned weights yet; learn them with: {again}")
    try:
        body, arrays = _read(path.read_bytes())
        if body.pop("seal") != _seal(body, arrays):
            raise ValueError
        kept = _kept(body, arrays)
    except (KeyError, TypeError, ValueError):
        raise ParetoError(f"{path}: damaged; learn the weights again with: {again}") from None
    if body["state"] != state(run):
        raise ParetoError(
            f"{path}: learned from other policies than run '{run.name}' has now; learn the weights again with: {again}"
        )
    return kept


def _read(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """Raises ValueError, KeyError or TypeError for what is no such file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as deserialise

    try:
        arrays: Arrays = deserialise(data)
    except SafetensorError:
        raise ValueError from None
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_HEADER]), arrays


def _kept(body: dict[str, Any], arrays: Arrays) -> Kept:
    layers = sum(name.startswith("matrix.") for name in arrays)
    stacked = [(arrays[f"matrix.{k}"], arrays[f"offset.{k}"]) for k in range(layers)]
    members = tuple([(w[b], o[b]) for w, o in stacked] for b in range(len(stacked[0][0])))
    familiar = Familiar(arrays["features"], body["texts"], body["sources"], arrays["groups"])
    learned = Learned(
        ids=tuple(body["ids"]),
        weights=arrays["weights"],
        learner=Learner(**body["learner"]),
        errors=body["errors"],
        ensemble=Ensemble(members),
        held_out=HeldOut(arrays["predicted"], arrays["fold"]),
        utility=arrays["utility"],
        familiar=familiar,
    )
    return Kept(learned, Stated.from_json(body["stated"]))


def _seal(body: dict[str, Any], arrays: Arrays) -> str:
    hashes = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    shapes = {name: [str(array.dtype), *array.shape] for name, array in arrays.items()}
    return fingerprint([body, hashes, shapes])
