"""What somebody wants of each prompt: weights by type of prompt, by prompt, or from the answers of a user study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pareto.choice.user_study.duels import Duel
from pareto.choice.user_study.duels import people as people_of
from pareto.choice.user_study.duels import read as read_duels
from pareto.choice.user_study.posterior import infer
from pareto.choice.user_study.result import LEAST, evidence
from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.inference.auto_weights.regression import Floats
from pareto.prompts.rows import SUFFIXES, check_columns, file_rows, text_of
from pareto.records import Prompt
from pareto.simplex import check_weights, parse_weights
from pareto.store.run import Run
from pareto.store.tables import read_prompts

Weights = tuple[float, ...]
EXAMPLE = "people:helpful=.7,concise=.3;provocations:harmless=1"


@dataclass(frozen=True)
class Stated:
    """The weights of a utility, in the recipe's order of objectives; the most particular that fits a prompt counts."""

    told: str
    """As it was given, for people."""
    for_all: Weights | None = None
    by_type: dict[str, Weights] = field(default_factory=dict)
    """Source of prompts → weights."""
    by_prompt: dict[str, Weights] = field(default_factory=dict)
    """Text of a prompt → weights."""

    @classmethod
    def read(cls, run: Run, text: str) -> Stated:
        """A utility as on a command line.

        Args:
            run: whose objectives and types of prompts it names.
            text: ``type:name=w,…;type:name=w,…`` (without a type: for all others); or a .jsonl file with lines of
                ``weights`` and ``prompt`` or ``source``; or ``duels``, ``duels:PERSON``: the run's user study.

        Raises:
            ParetoError: it cannot be read, names what the run does not have, or nobody has answered.
        """
        prompts = read_prompts(run.path / "prompts.parquet")
        if text == "duels" or text.startswith("duels:"):
            return _from_duels(run, text, {p.id: p.source for p in prompts})
        types = sorted({p.source for p in prompts})
        if text.endswith(SUFFIXES):
            return _from_file(Path(text), run.recipe.names, types)
        return _from_text(text, run.recipe.names, types)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Stated:
        """What ``to_json`` wrote."""
        by_type, by_prompt = ({k: tuple(w) for k, w in stored[name].items()} for name in ("by_type", "by_prompt"))
        for_all = stored["for_all"]
        return cls(stored["told"], for_all and tuple(for_all), by_type, by_prompt)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    def of(self, prompts: Sequence[Prompt], m: int) -> Floats:
        """Of each prompt, (n, m); NaN where nothing is stated."""
        nothing = (float("nan"),) * m
        return np.array(
            [self.by_prompt.get(p.text) or self.by_type.get(p.source) or self.for_all or nothing for p in prompts]
        ).reshape(-1, m)


def _from_text(text: str, names: Sequence[str], types: Sequence[str]) -> Stated:
    by_type: dict[str, Weights] = {}
    for_all: Weights | None = None
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        kind, colon, numbers = (piece.strip() for piece in part.rpartition(":"))
        if not colon:
            if for_all is not None:
                raise ParetoError(f"utility: two parts without a type of prompt; write {EXAMPLE}")
            for_all = parse_weights(numbers, names)
        elif kind in by_type:
            raise ParetoError(f"utility: '{kind}' is given twice")
        else:
            by_type[_type("utility", kind, types)] = parse_weights(numbers, names)
    if for_all is None and not by_type:
        raise ParetoError(f"utility: nothing is stated; write {EXAMPLE}")
    missing = [kind for kind in types if kind not in by_type]
    if missing and for_all is None:
        raise ParetoError(f"utility: nothing for '{missing[0]}'; add {missing[0]}:NAME=W,… or NAME=W,… for all others")
    return Stated(text, for_all, by_type)


def _from_file(path: Path, names: Sequence[str], types: Sequence[str]) -> Stated:
    by: dict[str, dict[str, Weights]] = {"prompt": {}, "source": {}}
    for where, row in file_rows(path, ["weights"], ["prompt", "source"], "utilities"):
        check_columns(where, ["weights"], row)
        column = "prompt" if row.get("prompt") is not None else "source"
        check_columns(where, [column], row)
        name, weights = text_of(where, column, row[column]), row["weights"]
        if not isinstance(weights, dict) or not all(_is_number(w) for w in weights.values()):
            raise ParetoError(f'{where}: weights are {{"name": number, …}}, such as {{"helpful": 0.7, "concise": 0.3}}')
        if name in by[column]:
            raise ParetoError(f"{where}: '{name}' is given twice")
        try:
            by[column][name] = check_weights(weights, names)
        except ParetoError as e:
            raise ParetoError(f"{where}: {e}") from None
        if column == "source":
            _type(where, name, types)
    return Stated(str(path), None, by["source"], by["prompt"])


def _from_duels(run: Run, text: str, type_of: Mapping[str, str]) -> Stated:
    """Posterior means: of a type where enough of its questions are answered, else of all."""
    duels, _ = read_duels(run)
    person = text.partition(":")[2]
    people = people_of(duels)
    if person and person not in people:
        known = suggest(person, people) if people else "nobody has answered yet"
        raise ParetoError(f"utility: no answers of '{person}'; {known}")
    duels = [duel for duel in duels if person in ("", duel.person)]
    m = len(run.recipe.names)
    if len(evidence(duels, m)[1]) < LEAST:
        raise ParetoError(f"utility: fewer than {LEAST} answers in the user study of run '{run.name}'; answer more")

    def mean(told: Sequence[Duel]) -> Weights:
        return tuple(infer(*evidence(told, m)).mean.tolist())

    by_type: dict[str, list[Duel]] = {}
    for duel in duels:
        by_type.setdefault(type_of.get(duel.prompt_id, ""), []).append(duel)
    enough = {kind: told for kind, told in by_type.items() if len(evidence(told, m)[1]) >= LEAST}
    return Stated(text, mean(duels), {kind: mean(told) for kind, told in enough.items()})


def _type(where: str, name: str, types: Sequence[str]) -> str:
    if name not in types:
        raise ParetoError(f"{where}: the run has no prompts of '{name}'; {suggest(name, list(types))}")
    return name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
