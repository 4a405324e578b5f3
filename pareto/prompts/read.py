"""Prompts from a file, a data set or a packaged set; every mistake is named with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pareto.config import Source
from pareto.errors import ParetoError
from pareto.prompts.packaged import packaged_prompts
from pareto.prompts.rows import Rows, check_columns, dataset_rows, file_rows, last_of_the_user, text_of
from pareto.prompts.split import prompt_id
from pareto.records import Prompt

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
        rows = dataset_rows(source.dataset, source.subset, (source.column,), OPTIONAL)
    prompts = [_prompt(name, source.column, where, row) for where, row in rows]
    if not prompts:
        raise ParetoError(f"{origin}: no prompts in it; at least one row with a '{source.column}' is needed")
    return prompts


def _file_rows(path: Path, column: str) -> Rows:
    if path.is_dir():
        raise ParetoError(f"{path}: is a folder, not a file; name it under 'dataset'")
    return file_rows(path, (column,), OPTIONAL, "prompts")


def _prompt(source: str, column: str, where: str, row: Mapping[str, Any]) -> Prompt:
    check_columns(where, (column,), row)
    value = row[column]
    if isinstance(value, list):
        value = last_of_the_user(where, column, value)
    text = text_of(where, column, value)
    answers, demonstrations = (_texts(where, name, row.get(name)) for name in OPTIONAL)
    return Prompt(prompt_id(source, text), text, source, answers, demonstrations)


def _texts(where: str, column: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ParetoError(f"{where}: '{column}' must be a list of text, not {type(value).__name__}")
    return tuple(text_of(where, column, item) for item in value)
