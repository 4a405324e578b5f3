"""Features that are made once: kept in this process, and on disk in files named by the hash of their content."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.objectives.ensemble.features import BATCH, Features, Progress, Vectors
from pareto.store.files import discard, write_bytes

LIMIT_BYTES = 1 << 30
"""Kept in memory at most; past it the oldest go."""
PER_FILE = 16 * BATCH
"""Completions of a file: what a killed process may lose."""


class FeatureCache:
    """Features of many texts, each computed once.

    The batches of equal requests are equal, so that a cache that was deleted or damaged comes back bit for bit.
    """

    def __init__(self, features: Features, folder: Path | None = None) -> None:
        """Read what a folder holds.

        Args:
            features: what makes them.
            folder: where they are kept, under the features' key; ``None``: in this process only.

        Raises:
            ParetoError: the folder cannot be made.
        """
        self._features = features
        self._kept = _kept(features.key)
        self._folder = None if folder is None else folder / "features" / features.key
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as e:
                raise ParetoError(f"{folder}: no folder for features can be made there: {e.strerror}") from None
            for path in sorted(self._folder.glob("*.safetensors")):
                self._read(path)

    def __call__(
        self, prompts: Sequence[str], completions: Sequence[str], progress: Progress = lambda done, total: None
    ) -> Vectors:
        """(n, width), one row per completion."""
        texts = list(zip(prompts, completions, strict=True))
        keys = [_key(p, c) for p, c in texts]
        new = {k: t for k, t in zip(keys, texts, strict=True) if k not in self._kept}
        # By length, for little padding; by key, so that the order of a request does not matter.
        order = sorted(new, key=lambda k: (len(new[k][0]) + len(new[k][1]), k))
        found = {k: self._kept[k] for k in keys if k in self._kept}
        progress(len(texts) - len(order), len(texts))
        for start in range(0, len(order), PER_FILE):
            part = order[start : start + PER_FILE]
            vectors = np.empty((len(part), self._features.width), dtype=np.float32)
            for at in range(0, len(part), BATCH):
                batch = part[at : at + BATCH]
                vectors[at : at + len(batch)] = self._features([new[k][0] for k in batch], [new[k][1] for k in batch])
                progress(len(texts) - len(order) + start + at + len(batch), len(texts))
            self._write(part, vectors)
            found.update(zip(part, vectors, strict=True))
            self._keep(part, vectors)
        return np.stack([found[k] for k in keys]) if keys else np.empty((0, self._features.width), dtype=np.float32)

    def _keep(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        self._kept.update(zip(keys, vectors, strict=True))
        while len(self._kept) * 4 * self._features.width > LIMIT_BYTES:
            del self._kept[next(iter(self._kept))]

    def _write(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        if self._folder is None:
            return
        from safetensors.numpy import save

        table: dict[str, NDArray[np.generic]] = {
            "keys": np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1),
            "vectors": vectors,
        }
        data = save(table)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self._folder / f"{_name(data)}.safetensors", data)

    def _read(self, path: Path) -> None:
        from safetensors.numpy import load

        data = path.read_bytes()
        if _name(data) != path.stem:
            discard(path)
            return
        table = load(data)
        self._keep([row.tobytes() for row in table["keys"]], table["vectors"])


@functools.cache
def _kept(features_key: str) -> dict[bytes, Vectors]:
    """Of one kind of features, by text, for the whole process."""
    return {}


def forget() -> None:
    """Empty what this process keeps in memory; what is on disk stays."""
    _kept.cache_clear()


def _key(prompt: str, completion: str) -> bytes:
    return hashlib.blake2b(prompt.encode() + b"\0" + completion.encode(), digest_size=16).digest()


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
