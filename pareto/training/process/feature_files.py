"""Features of solutions, made once and kept on disk in files named by the hash of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from pareto.objectives.process.hidden import BATCH, Encoded, StepFeatures, Vectors, read_steps
from pareto.store.files import discard, fingerprint, write_bytes

CHUNK = 16 * BATCH
"""Solutions of a file: what a killed process may lose."""


def step_features(
    features: StepFeatures,
    rows: Sequence[Encoded],
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Vectors]:
    """Features of all rows, (steps, width) each; those that an earlier call has made are read from the cache."""
    from safetensors.numpy import load, save

    place = cache / "steps" / features.key
    place.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Vectors] = {}
    for path in sorted(place.glob("*.safetensors")):
        data = path.read_bytes()
        if _name(data) == path.stem:
            kept |= load(data)
        else:
            discard(path)
    keys = [fingerprint([row.ids, row.starts, row.ends]) for row in rows]
    new = {key: row for key, row in zip(keys, rows, strict=True) if key not in kept}
    order = sorted(new, key=lambda key: (len(new[key].ids), key))
    before = len(rows) - len(order)
    progress(before, len(rows))
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]

        def told(done: int, _: int, start: int = start) -> None:
            progress(before + start + done, len(rows))

        made = dict(zip(part, read_steps(features, [new[key] for key in part], told), strict=True))
        data = save(made)
        write_bytes(place / f"{_name(data)}.safetensors", data)
        kept |= made
    return [kept[key] for key in keys]


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
