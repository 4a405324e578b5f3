"""What the command line says of an ensemble that is to be trained, checked. Imports no torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pareto.config import Ensemble, Model, Name, Recipe
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe


def model_and_settings(recipe: Path | None, base: str | None, options: dict[str, Any]) -> tuple[Model, Ensemble]:
    """The recipe's model and ensemble with what the command line says otherwise.

    Args:
        recipe: its file; ``None``: the defaults.
        base: another base model.
        options: keys of ``rounds.ensemble``, only those that were given.

    Raises:
        ParetoError: the recipe cannot be read; a value out of range.
    """
    read = read_recipe(recipe) if recipe else None
    settings = read.rounds.ensemble if read else Ensemble()
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ParetoError(f"{_option(name)} {value}: {_wanted(name)}")
    try:
        settings = Ensemble.model_validate(settings.model_dump() | options)
    except ValidationError as e:
        # Of several heads, the one that is none, rather than all of them for not being one.
        error = next(error for error in e.errors() if not isinstance(error["input"], tuple))
        name = str(error["loc"][0])
        said = error["msg"].replace("Input should be", "must be")
        raise ParetoError(f"{_option(name)} {error['input']}: {_wanted(name) or said}") from None
    return asked_model(read, base), settings


def asked_model(recipe: Recipe | None, base: str | None) -> Model:
    """A recipe's model, or another base; without either, the packaged one.

    Raises:
        ParetoError: an empty name.
    """
    if base is not None and not base.strip():
        raise ParetoError("--model is empty; give a hub id, a folder or a packaged name, or leave it out")
    model = recipe.model if recipe else Model(base="smollm2-135m-instruct")
    return model if base is None else model.model_copy(update={"base": base, "sft": None})


def check_name(objective: str) -> None:
    """Refuse a name that a recipe would refuse: it becomes one of files.

    Raises:
        ParetoError: it is no name.
    """
    try:
        TypeAdapter(Name).validate_python(objective)
    except ValidationError:
        raise ParetoError(
            f"--objective {objective!r}: must be a name of at most 64 lower case letters, digits, _ . and "
            "-, with a letter or digit first"
        ) from None


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _wanted(name: str) -> str:
    """The range of a setting that is a number; empty for others."""
    field = Ensemble.model_fields[name]
    bounds = {
        k: v for bound in field.metadata for k in ("ge", "gt", "le", "lt") if (v := getattr(bound, k, None)) is not None
    }
    if "lt" in bounds:
        return f"must be a number between {bounds['gt']} and {bounds['lt']}"
    if "le" in bounds:
        return f"must be a number from {bounds['ge']} to {bounds['le']}"
    return f"must be a number, {bounds['ge']:g} or more" if bounds else ""
