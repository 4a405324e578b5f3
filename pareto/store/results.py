"""What came of a piece of work: a sealed JSON file in the run's ``work/`` under the hash of the work, which names what
it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pareto.errors import ParetoError
from pareto.records import SCHEMA
from pareto.store.files import fingerprint, folder_ok, read_json, write_json
from pareto.store.tables import table_ok


@dataclass(frozen=True)
class Result:
    """Of one piece of work."""

    told: dict[str, Any]
    """What its task returned."""
    files: list[str]
    """Artefacts that it made, by their names in the run's folder."""


def result_name(key: str) -> str:
    """The file's name in the run's folder."""
    return f"work/{key}.json"


def save_result(run: Path, key: str, told: Mapping[str, Any], files: Sequence[str]) -> str:
    """Write it; its name in the run's folder. Raises ParetoError on a full disk."""
    body = {"key": key, "told": dict(told), "files": list(files)}
    (run / "work").mkdir(exist_ok=True)
    write_json(run / result_name(key), {"schema": SCHEMA, "seal": fingerprint(body), **body})
    return result_name(key)


def read_result(run: Path, key: str, *, check: bool = True) -> Result | None:
    """What is there of it; ``None`` where it, or (``check``) an artefact that it names, is not there or not whole."""
    try:
        stored = read_json(run / result_name(key))
        body = {name: stored[name] for name in ("key", "told", "files")}
        if stored["seal"] != fingerprint(body) or body["key"] != key:
            return None
    except (ParetoError, KeyError, TypeError, ValueError):
        return None
    if check and not all(whole(run, name) for name in body["files"]):
        return None
    return Result(body["told"], body["files"])


def whole(run: Path, name: str) -> bool:
    """Whether an artefact of the run, a folder with a seal or a table, is there as it was written."""
    path = run / name
    return table_ok(path) if path.suffix == ".parquet" else folder_ok(path)
