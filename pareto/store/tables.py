"""Prompts, rollouts and per-prompt scores as Parquet, each file sealed by a hash inside itself.

The seal is 64 hex digits in the file's metadata: the SHA-256 of all its bytes with zeros in the place of the seal. So
data and seal are one file and arrive in one rename. Any Parquet reader can open the files.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pareto.errors import ParetoError
from pareto.records import SCHEMA, Prompt, Rollout
from pareto.store.files import write_bytes

_MARK = b"pareto-seal:"

_PROMPTS = pa.schema(
    {
        "id": pa.string(),
        "text": pa.string(),
        "source": pa.string(),
        "answers": pa.list_(pa.string()),
        "demonstrations": pa.list_(pa.string()),
        "split": pa.string(),
    }
)
_ROLLOUTS = pa.schema(
    {
        "prompt_id": pa.string(),
        "sample": pa.int32(),
        "origin": pa.string(),
        "seed": pa.int64(),
        "text": pa.string(),
        "token_ids": pa.list_(pa.int32()),
        "logp": pa.float64(),
    }
)


class Scores(NamedTuple):
    """What rewards said of n rollouts."""

    prompt_ids: list[str]
    """Length n."""
    samples: npt.NDArray[np.int64]
    """Shape (n,): index among the prompt's completions."""
    columns: dict[str, npt.NDArray[np.float64]]
    """Name → shape (n,), in the reward's own units; NaN where it does not apply or failed."""


def write_prompts(path: str | Path, prompts: Sequence[Prompt]) -> None:
    """Replace a Parquet file of prompts in one step. Raises ParetoError on a full disk."""
    _write(path, _table(prompts, _PROMPTS))


def read_prompts(path: str | Path) -> list[Prompt]:
    """The prompts in the order written. Raises ParetoError when the file is missing or damaged."""
    return [
        Prompt(**row | {"answers": tuple(row["answers"]), "demonstrations": tuple(row["demonstrations"])})
        for row in _read(path).to_pylist()
    ]


def write_rollouts(path: str | Path, rollouts: Sequence[Rollout]) -> None:
    """Replace a Parquet file of rollouts in one step; a NaN log-probability becomes null.

    Seeds fit in 63 bits. Raises ParetoError on a full disk.
    """
    _write(path, _table(rollouts, _ROLLOUTS))


def read_rollouts(path: str | Path) -> list[Rollout]:
    """The rollouts in the order written. Raises ParetoError when the file is missing or damaged."""
    return [
        Rollout(
            **row | {"token_ids": tuple(row["token_ids"]), "logp": float("nan" if row["logp"] is None else row["logp"])}
        )
        for row in _read(path).to_pylist()
    ]


def write_scores(
    path: str | Path,
    prompt_ids: Sequence[str],
    samples: Sequence[int] | npt.NDArray[np.integer[Any]],
    columns: Mapping[str, npt.ArrayLike],
) -> None:
    """Replace a Parquet file of scores in one step.

    Args:
        path: the file.
        prompt_ids: length n.
        samples: length n, index among the prompt's completions.
        columns: name → shape (n,); NaN (masked) is stored as null.

    Raises:
        ParetoError: on a full disk.
    """
    keys = [pa.array(prompt_ids, pa.string()), pa.array(samples, pa.int64())]
    values = [pa.array(np.asarray(v, dtype=np.float64), from_pandas=True) for v in columns.values()]
    # Read back by position: an objective may be called "sample".
    _write(path, pa.Table.from_arrays(keys + values, names=["prompt_id", "sample", *columns]))


def read_scores(path: str | Path) -> Scores:
    """The scores as written, masked ones NaN. Raises ParetoError when the file is missing or damaged."""
    table = _read(path)
    prompt_ids, samples, *values = table.columns
    return Scores(
        prompt_ids.to_pylist(),
        np.array(samples, dtype=np.int64),
        {name: np.array(v, dtype=np.float64) for name, v in zip(table.column_names[2:], values, strict=True)},
    )


def table_ok(path: str | Path) -> bool:
    """Whether the file is there and every byte agrees with its seal."""
    try:
        return _whole(Path(path).read_bytes())
    except OSError:
        return False


def _table(records: Sequence[Prompt] | Sequence[Rollout], schema: pa.Schema) -> pa.Table:
    columns = [pa.array([getattr(r, f.name) for r in records], f.type, from_pandas=True) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _write(path: str | Path, table: pa.Table) -> None:
    sink = io.BytesIO()
    # Arrow's own copy of the schema would hold a second, base64 copy of the metadata; the types here need none.
    with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"pareto.schema": str(SCHEMA), "pareto.seal": (_MARK + b"0" * 64).decode()})
    data = sink.getvalue()
    at = _seal_at(data)
    write_bytes(path, data[:at] + _seal(data).encode() + data[at + 64 :])


def _read(path: str | Path) -> pa.Table:
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise ParetoError(f"{path}: cannot be read: {e.strerror}") from None
    if not _whole(data):
        raise ParetoError(
            f"{path}: damaged, its content does not agree with its seal; discard it to have it made again"
        )
    return pq.ParquetFile(io.BytesIO(data)).read()


def _whole(data: bytes) -> bool:
    at = _seal_at(data)
    return data[at : at + 64] == _seal(data).encode()


def _seal_at(data: bytes) -> int:
    # The last mark is the seal's: the metadata stands behind all rows.
    return data.rfind(_MARK) + len(_MARK)


def _seal(data: bytes) -> str:
    at = _seal_at(data)
    return hashlib.sha256(data[:at] + b"0" * 64 + data[at + 64 :]).hexdigest()
