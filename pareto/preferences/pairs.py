"""Comparisons from a file or a data set; whatever is wrong with a row is told with its place."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pareto.errors import ParetoError
from pareto.prompts.rows import SUFFIXES, Rows, check_columns, dataset_rows, file_rows, last_of_the_user, text_of
from pareto.records import Pair
from pareto.store.files import to_json, write_text

OPTIONAL = ("strength", "tie", "annotator", "round", "objective")
LEFT_OUT = "; left out"
DATA = {*SUFFIXES, ".csv", ".tsv", ".arrow", ".gz", ".zip", ".zst", ".bz2", ".xz"}
"""What ``datasets`` may find comparisons in, in a folder."""


@dataclass(frozen=True)
class Pairs:
    """Comparisons, and what was wrong with the rows that they come from."""

    pairs: list[Pair]
    """In the order of the source."""
    problems: list[str]
    """One line each, with its place."""
    counts: dict[str, int]
    """``rows``; of these ``pairs`` kept, among them ``ties`` and ``contradictions`` (each of an earlier row); left out:
    ``unusable`` (a value missing, empty or of another kind), ``identical`` and ``duplicates``."""

    def told(self, most: int) -> list[str]:
        """The problems, at most so many of each kind and then how many more."""
        kinds: dict[str, list[str]] = {}
        for problem in self.problems:
            # All that tells two problems of a kind apart are numbers: of rows, of lines, of what should be another.
            kinds.setdefault(re.sub(r"\d+", "", problem), []).append(problem)
        lines: list[str] = []
        for problems in kinds.values():
            lines += problems[:most]
            if len(problems) > most:
                lines.append(f"and {len(problems) - most} more of this kind; all of them with --json")
        return lines


def read_pairs(
    source: str | Path,
    *,
    subset: str = "train",
    prompt: str = "prompt",
    chosen: str = "chosen",
    rejected: str = "rejected",
) -> Pairs:
    """Read comparisons as TRL knows them.

    Surrounding whitespace goes. Where a value is a conversation (a list of messages), the prompt is what the user says
    last, and a completion is the last message. Optional columns: ``strength``, a number above 0, how much the row
    counts; ``tie``, true where neither is better; ``annotator``; ``round``; ``objective``.

    Rows that nothing can be learnt from are left out and told: a value that is not text, an empty one, a chosen one
    that is the rejected, a row that was there before (of the same annotator). Two rows that contradict each other are
    told, and both are kept: who is right is not for a file to say.

    Args:
        source: a .jsonl or .parquet file, or a data set: a hub id or a folder that ``datasets`` loads.
        subset: of a data set.
        prompt: the column's name.
        chosen: the column's name.
        rejected: the column's name.

    Raises:
        ParetoError: no such file, column or subset; a line that is not JSON; nothing that can be used.
    """
    columns = (prompt, chosen, rejected)
    pairs: list[Pair] = []
    problems: list[str] = []
    counts = Counter(rows=0, pairs=0, ties=0, contradictions=0, unusable=0, identical=0, duplicates=0)
    rows_seen: dict[tuple[str | bool, ...], str] = {}
    preferred: dict[tuple[str, str, str], str] = {}
    for where, row in _rows(source, subset, columns):
        counts["rows"] += 1
        try:
            pair = _pair(where, row, columns)
        except ParetoError as e:
            counts["unusable"] += 1
            problems.append(f"{e}{LEFT_OUT}")
            continue
        if pair.chosen == pair.rejected:
            counts["identical"] += 1
            problems.append(f"{where}: '{chosen}' and '{rejected}' are the same text{LEFT_OUT}")
            continue
        tie = pair.target == 0.5
        texts = sorted((pair.chosen, pair.rejected)) if tie else [pair.chosen, pair.rejected]
        before = rows_seen.setdefault((pair.prompt, *texts, tie, pair.annotator, pair.objective), where)
        if before != where:
            counts["duplicates"] += 1
            problems.append(f"{where}: the same as {before}{LEFT_OUT}")
            continue
        pairs.append(pair)
        counts["ties"] += tie
        if not tie:
            preferred.setdefault((pair.prompt, pair.chosen, pair.rejected), where)
            other = preferred.get((pair.prompt, pair.rejected, pair.chosen))
            if other:
                counts["contradictions"] += 1
                problems.append(f"{where}: prefers what {other} rejects; both are kept")
    counts["pairs"] = len(pairs)
    if not pairs:
        why = f"; the first: {problems[0].removesuffix(LEFT_OUT)}" if problems else ""
        of = f"{counts['rows']} row" + ("s" if counts["rows"] != 1 else "")
        raise ParetoError(f"{source}: no comparisons in it that can be used, of {of}{why}")
    return Pairs(pairs, problems, dict(counts))


def write_pairs(path: str | Path, pairs: Sequence[Pair]) -> None:
    """Write comparisons as JSON lines that ``read_pairs`` takes; raises ParetoError on a full disk."""
    rows = [
        {
            "prompt": pair.prompt,
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "strength": pair.weight,
            "tie": pair.target == 0.5,
            "annotator": pair.annotator,
            "round": pair.round,
        }
        for pair in pairs
    ]
    write_text(path, "".join(to_json(row) + "\n" for row in rows))


def _rows(source: str | Path, subset: str, columns: Sequence[str]) -> Rows:
    path = Path(source)
    if path.is_file() or path.suffix in SUFFIXES:
        return file_rows(path, columns, OPTIONAL, "comparisons")
    if path.is_dir() and not any(p.suffix in DATA for p in path.rglob("*")):
        raise ParetoError(f"{source}: no .jsonl or .parquet file in it")
    return dataset_rows(str(source), subset, columns, OPTIONAL)


def _pair(where: str, row: Mapping[str, Any], columns: Sequence[str]) -> Pair:
    """The comparison of a row; raises ParetoError on values of another kind."""
    check_columns(where, columns, row)
    prompt, chosen, rejected = (_text(where, column, row[column], asked=column == columns[0]) for column in columns)
    strength = _value(where, row, "strength", 1.0, (int, float))
    if not (math.isfinite(strength) and strength > 0):
        raise ParetoError(f"{where}: 'strength' must be a number above 0, not {strength}")
    tie = _value(where, row, "tie", False, (bool,))
    annotator, number = _value(where, row, "annotator", "", (str,)), _value(where, row, "round", 0, (int,))
    objective = _value(where, row, "objective", "", (str,))
    return Pair(prompt, chosen, rejected, 0.5 if tie else 1.0, float(strength), annotator, number, objective)


def _text(where: str, column: str, value: Any, *, asked: bool) -> str:
    """A text, or what a conversation comes to: the user's last message, or the last one of all."""
    if isinstance(value, list):
        if asked:
            value = last_of_the_user(where, column, value)
        elif value and isinstance(value[-1], dict):
            value = value[-1].get("content")
    if not isinstance(value, str):
        raise ParetoError(f"{where}: '{column}' must be text, not {_kind(value)}")
    return text_of(where, column, value)


def _value(where: str, row: Mapping[str, Any], column: str, default: Any, kinds: tuple[type, ...]) -> Any:
    """An optional column's value; a bool is a number to Python, but not here."""
    value = row.get(column)
    if value is None:
        return default
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = "true or false" if bool in kinds else "text" if str in kinds else "a number"
        raise ParetoError(f"{where}: '{column}' must be {wanted}, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    kinds = (((int, float), "a number"), (str, "text"), (list, "a list"), (dict, "an object"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "something else")
