"""Reads recipes (``sweeps/*.yaml``); mistakes are told with the line and the column where they stand.

For a misspelt key, the nearest right one is named. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pareto.config import Misfit, Recipe, Section, suggest
from pareto.errors import ParetoError


def read_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.

    Raises:
        ParetoError: with ``file:line:column`` and what would be right.
    """
    path = Path(path)
    try:
        tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParetoError(f"{path}: no such recipe") from None
    except (OSError, UnicodeDecodeError) as e:
        raise ParetoError(f"{path}: cannot be read as text: {e}") from None
    except MarkedYAMLError as e:
        mark = e.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ParetoError(f"{path}{where}: not valid YAML: {e.problem}") from None
    except YAMLError as e:  # a control character, which the reader meets before there are marks
        raise ParetoError(f"{path}: not valid YAML: {str(e).splitlines()[0]}") from None
    if not isinstance(tree, dict):
        raise ParetoError(f"{path}:1:1: a recipe is a mapping of keys such as name, model, prompts, objectives")
    try:
        return Recipe.model_validate(tree)
    except ValidationError as e:
        raise ParetoError("\n".join(_explain(path, tree, err) for err in _own([dict(x) for x in e.errors()]))) from None


def _own(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without lists that pydantic finds too short only because it left out the items that have errors of their own."""

    def within(error: dict[str, Any], other: dict[str, Any]) -> bool:
        return other is not error and other["loc"][: len(error["loc"])] == error["loc"]

    return [e for e in errors if e["type"] != "too_short" or not any(within(e, other) for other in errors)]


def _explain(path: Path, tree: Any, err: dict[str, Any]) -> str:
    """One line for one pydantic error, at its place in the file."""
    error = err.get("ctx", {}).get("error")
    loc = tuple(p for p in (error.at if isinstance(error, Misfit) else err["loc"]) if p != "[key]")
    line, column = _position(tree, loc)
    dotted = ".".join(str(p) for p in loc)
    message = str(err["msg"]).removeprefix("Value error, ")
    if err["type"] == "extra_forbidden":
        section = _section_at(loc[:-1])
        known = list(section.model_fields) if section else []
        message = f"unknown key '{loc[-1]}'; {suggest(str(loc[-1]), known)}"
    elif err["type"] == "missing":
        message = f"the key '{loc[-1]}' is missing"
    return f"{path}:{line}:{column}: {dotted + ': ' if dotted else ''}{message}"


def _position(tree: Any, loc: tuple[int | str, ...]) -> tuple[int, int]:
    """Line and column, from 1, of the deepest part of ``loc`` that is in the file."""
    line, column = 0, 0
    for part in loc:
        marks = getattr(tree, "lc", None)
        if marks is None or marks.data is None or part not in marks.data:
            break
        line, column = marks.data[part][:2]
        tree = tree[part]
    return line + 1, column + 1


def _section_at(loc: tuple[int | str, ...]) -> type[Section] | None:
    """The section's class at a place of the schema."""
    section: Any = Recipe
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = section.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        section = next((c for c in candidates if isinstance(c, type) and issubclass(c, Section)), None)
        if section is None:
            return None
    return section  # type: ignore[no-any-return]
