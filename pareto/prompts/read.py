"""Prompts from a file, a data set or a packaged set; every mistake is named with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pareto.config import Source
from pareto.errors import ParetoError
from pareto.prompts.packaged import packaged_prompts
from pareto.prompts.split import prompt_id
from pareto.records import Prompt

Rows = Iterator[tuple[str, Mapping[str, Any]]]
"""Where a row stands, for messages, and the row."""

OPTIONAL = ("answers", "demonstrations")


def read_source(source: Source) -> list[Prompt]:
    """All prompts of a source, in its own order; ``split`` is not set yet.

    Surrounding whitespace goes; everything else in a text stays as it is. Of a conversation (a list of messages), the
    last message of the user is the prompt.

    Raises:
        ParetoError: file or column missing, a line that is not JSON, a prompt that is empty or not text, no prompts.
    """
    if source.packaged is not None:
        return packaged_prompts(source.packaged)
    if source.file is not None:
        name, origin = source.file.name, str(source.file)
        rows = _file_rows(source.file, source.column)
    else:
        assert source.dataset is not None, "a source has exactly one origin"
        path = Path(source.dataset)
        name, origin = (path.name if path.exists() else source.dataset), source.dataset
        rows = _dataset_rows(source.dataset, source.subset, source.column)
    prompts = [_prompt(name, source.column, where, row) for where, row in rows]
    if not prompts:
        raise ParetoError(f"{origin}: no prompts in it; at least one row with a '{source.column}' is needed")
    return prompts


def _file_rows(path: Path, column: str) -> Rows:
    if not path.is_file():
        what = "is a folder, not a file; name it under 'dataset'" if path.is_dir() else "no such file of prompts"
        raise ParetoError(f"{path}: {what}")
    if path.suffix == ".parquet":
        return _parquet_rows(path, column)
    if path.suffix in (".jsonl", ".ndjson", ".json"):
        return _jsonl_rows(path, column)
    raise ParetoError(f"{path}: prompts are read from .jsonl or .parquet files, not from '{path.suffix}'")


def _jsonl_rows(path: Path, column: str) -> Rows:
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
                raise ParetoError(f'{where}: each line must be a JSON object such as {{"{column}": "…"}}')
            _check_column(where, column, list(row))
            yield where, row


def _parquet_rows(path: Path, column: str) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            there = table.schema_arrow.names
            _check_column(str(path), column, there)
            wanted = [name for name in (column, *OPTIONAL) if name in there]
            number = 0
            for batch in table.iter_batches(columns=wanted):
                for k in range(batch.num_rows):
                    number += 1
                    where = f"{path}: row {number}"
                    yield where, _decoded(where, lambda k=k, batch=batch: {n: batch[n][k].as_py() for n in wanted})
    except (pa.ArrowException, OSError) as e:
        raise ParetoError(f"{path}: cannot be read as Parquet: {_first_line(e)}") from None


def _dataset_rows(name: str, subset: str, column: str) -> Rows:
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
    _check_column(name, column, data.column_names)
    data = data.select_columns([n for n in (column, *OPTIONAL) if n in data.column_names])
    for k in range(len(data)):
        where = f"{name}: row {k + 1}"
        yield where, _decoded(where, lambda k=k: data[k])


def _decoded(where: str, row: Any) -> Mapping[str, Any]:
    """The row that the call returns; Arrow's text is decoded only here."""
    try:
        return row()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        raise ParetoError(f"{where}: not UTF-8 text") from None


def _prompt(source: str, column: str, where: str, row: Mapping[str, Any]) -> Prompt:
    value = row[column]
    if isinstance(value, list):
        value = _last_of_the_user(where, column, value)
    text = _text(where, column, value)
    answers, demonstrations = (_texts(where, name, row.get(name)) for name in OPTIONAL)
    return Prompt(prompt_id(source, text), text, source, answers, demonstrations)


def _last_of_the_user(where: str, column: str, messages: list[Any]) -> Any:
    """What the user says last in a conversation of ``{"role", "content"}`` messages."""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return message.get("content")
    raise ParetoError(f"{where}: '{column}' is a list without a message of role 'user'")


def _texts(where: str, column: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ParetoError(f"{where}: '{column}' must be a list of text, not {type(value).__name__}")
    return tuple(_text(where, column, item) for item in value)


def _text(where: str, column: str, value: Any) -> str:
    """The text without surrounding whitespace."""
    if not isinstance(value, str):
        raise ParetoError(f"{where}: '{column}' must be text, not {type(value).__name__}")
    text = value.strip()
    if not text:
        raise ParetoError(f"{where}: '{column}' is empty")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ParetoError(f"{where}: '{column}' holds half of a surrogate pair, which is not valid text")
    return text


def _check_column(where: str, column: str, there: Sequence[str]) -> None:
    if column not in there:
        raise ParetoError(f"{where}: no column '{column}'; columns there: {_listed(there) or 'none'}")


def _listed(names: Sequence[Any], most: int = 10) -> str:
    """Names in quotes, safe to print on one line."""
    return ", ".join(ascii(name)[:60] for name in names[:most]) + (", …" if len(names) > most else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
