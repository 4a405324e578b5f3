"""Rows of files and data sets, each with the place where it stands; every mistake is named with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pareto.errors import ParetoError

Rows = Iterator[tuple[str, Mapping[str, Any]]]
"""Where a row stands, for messages, and the row."""

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
"""Of the files that can be read."""


def file_rows(path: Path, needed: Sequence[str], optional: Sequence[str], what: str) -> Rows:
    """Rows of a JSONL or Parquet file.

    Of a Parquet file only the columns named; of a JSONL file all, and whether one has those it needs is for
    ``check_columns`` to tell, line by line.

    Args:
        path: the file.
        needed: columns that must be there.
        optional: columns that may be there.
        what: the rows are, for messages, such as "prompts".

    Raises:
        ParetoError: no such file, another kind of file, a column that is missing, a line that is not JSON.
    """
    if not path.is_file():
        raise ParetoError(f"{path}: no such file of {what}")
    if path.suffix not in SUFFIXES:
        raise ParetoError(f"{path}: {what} are read from .jsonl or .parquet files, not from '{path.suffix}'")
    return _parquet_rows(path, needed, optional) if path.suffix == ".parquet" else _jsonl_rows(path, needed)


def dataset_rows(name: str, subset: str, needed: Sequence[str], optional: Sequence[str]) -> Rows:
    """Rows of what ``datasets`` loads: a hub id, a folder with files, or a data set saved in a folder.

    Raises:
        ParetoError: it cannot be loaded, or has no such subset or column.
    """
    try:
        import datasets
    except ModuleNotFoundError:
        raise ParetoError(f"{name}: reading a data set needs the package datasets: pip install datasets") from None
    folder = Path(name)
    if name.startswith(("/", ".", "~")) and not folder.is_dir():
        raise ParetoError(f"{name}: no such folder with a data set")
    saved = any((folder / marker).is_file() for marker in ("state.json", "dataset_dict.json"))
    try:
        data = datasets.load_from_disk(name) if saved else datasets.load_dataset(name, split=subset)
    except Exception as e:  # Builders, file formats and the network raise what they like.
        raise ParetoError(f"{name}: cannot be read as a data set: {_first_line(e)}") from None
    if isinstance(data, datasets.DatasetDict):
        if subset not in data:
            raise ParetoError(f"{name}: no subset '{subset}'; there are: {_listed(list(data))}")
        data = data[subset]
    check_columns(name, needed, data.column_names)
    data = data.select_columns([n for n in (*needed, *optional) if n in data.column_names])
    for k in range(len(data)):
        where = f"{name}: row {k + 1}"
        yield where, _decoded(where, lambda k=k: data[k])


def check_columns(where: str, needed: Sequence[str], there: Collection[str]) -> None:
    """Refuse a row or a table without a column that it needs, naming those it has."""
    for column in needed:
        if column not in there:
            raise ParetoError(f"{where}: no column '{column}'; columns there: {_listed(list(there)) or 'none'}")


def last_of_the_user(where: str, column: str, messages: list[Any]) -> Any:
    """What the user says last in a conversation of ``{"role", "content"}`` messages."""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return message.get("content")
    raise ParetoError(f"{where}: '{column}' is a list without a message of role 'user'")


def text_of(where: str, column: str, value: Any) -> str:
    """A value as text without surrounding whitespace; refuses what is no text, or empty."""
    if not isinstance(value, str):
        raise ParetoError(f"{where}: '{column}' must be text, not {type(value).__name__}")
    text = value.strip()
    if not text:
        raise ParetoError(f"{where}: '{column}' is empty")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ParetoError(f"{where}: '{column}' holds half of a surrogate pair, which is not valid text")
    return text


def _jsonl_rows(path: Path, needed: Sequence[str]) -> Rows:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as e:
                raise ParetoError(f"{where}: not UTF-8 text: {e.reason} at byte {e.start + 1} of the line") from None
            except json.JSONDecodeError as e:
                raise ParetoError(f"{where}:{e.colno}: not JSON: {e.msg}") from None
            except (ValueError, RecursionError):
                # Numbers of thousands of digits, or brackets nested thousands deep.
                raise ParetoError(f"{where}: JSON that is too large or too deep to read") from None
            if not isinstance(row, dict):
                example = ", ".join(f'"{column}": "…"' for column in needed)
                raise ParetoError(f"{where}: each line must be a JSON object such as {{{example}}}")
            yield where, row


def _parquet_rows(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            there = table.schema_arrow.names
            check_columns(str(path), needed, there)
            wanted = [name for name in (*needed, *optional) if name in there]
            number = 0
            for batch in table.iter_batches(columns=wanted):
                for k in range(batch.num_rows):
                    number += 1
                    where = f"{path}: row {number}"
                    yield where, _decoded(where, lambda k=k, batch=batch: {n: batch[n][k].as_py() for n in wanted})
    except (pa.ArrowException, OSError) as e:
        raise ParetoError(f"{path}: cannot be read as Parquet: {_first_line(e)}") from None


def _decoded(where: str, row: Any) -> Mapping[str, Any]:
    """The row that the call returns; Arrow's text is decoded only here."""
    try:
        return row()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        raise ParetoError(f"{where}: not UTF-8 text") from None


def _listed(names: Sequence[Any], most: int = 10) -> str:
    """Names in quotes, safe to print on one line."""
    return ", ".join(ascii(name)[:60] for name in names[:most]) + (", …" if len(names) > most else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
