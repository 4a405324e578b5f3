"""A series of rounds on disk, ``runs/<name>-rounds/``. Each round's sweep is a run of its own. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pareto import __version__
from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.preferences.annotation.review import ReviewQueue
from pareto.records import SCHEMA
from pareto.store.files import Taken, append_line, read_json, staged, to_json, write_json
from pareto.store.run import Run

SUFFIX = "-rounds"
_ROUND = re.compile(r"(.+)-round-[0-9]+")
INFO = "rounds.json"
FREE = ("count", "stop_early")
"""Keys of the recipe's section ``rounds`` that may change in the course of a series."""


@dataclass(frozen=True)
class Rounds:
    """A series that is on disk; made by ``create`` or ``open``."""

    path: Path
    """Its folder, absolute."""

    @classmethod
    def create(cls, root: str | Path, recipe: Recipe) -> Rounds:
        """Make the folder, or reopen it when the same recipe made it; how many rounds it asks for may change.

        Args:
            root: folder of all runs.
            recipe: the resolved recipe; its name is the series'.

        Raises:
            ParetoError: another recipe made the series of that name, or the name leaves no room for a round's number.
        """
        if len(f"{recipe.name}-round-99") > 64:
            raise ParetoError(f"name '{recipe.name}': at most 55 characters, each round's run adds its number to it")
        tree = recipe.model_dump(mode="json")
        path = Path(root).absolute() / f"{recipe.name}{SUFFIX}"
        if not (path / INFO).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            created = datetime.now(UTC).isoformat(timespec="seconds")
            info = {"schema": SCHEMA, "version": __version__, "name": recipe.name, "created": created, "recipe": tree}
            try:
                with staged(path) as temporary:
                    write_json(temporary / INFO, info)
            except Taken:
                if not (path / INFO).exists():
                    raise ParetoError(f"{path}: exists and holds no rounds (no {INFO}); use another `name:`") from None
        series = cls.open(path)
        old = series.info["recipe"]
        changed = _difference(old, tree)
        if changed:
            raise ParetoError(f"{path}: made by another recipe (different: {', '.join(changed)}); use another `name:`")
        if old != tree:
            write_json(path / INFO, series.info | {"recipe": tree})
        return cls(path)

    @classmethod
    def open(cls, name: str | Path, root: str | Path = "runs") -> Rounds:
        """A series by its recipe's name under ``root``, or by the path or the name of its folder.

        Raises:
            ParetoError: there is none, it is damaged, or a newer version of pareto wrote it.
        """
        places = [Path(root) / f"{name}{SUFFIX}", Path(root) / name, Path(name)]
        path = next((p.absolute() for p in places if (p / INFO).is_file()), None)
        if path is None:
            known = ", ".join(list_rounds(root)) or "none"
            raise ParetoError(f"no rounds '{name}'; in {root}: {known}")
        series = cls(path)
        wanted = {"schema": int, "version": str, "name": str, "created": str, "recipe": dict}
        info = series.info
        if not (isinstance(info, dict) and all(isinstance(info.get(k), t) for k, t in wanted.items())):
            raise ParetoError(f"{path / INFO}: damaged, not the description of rounds")
        if info["schema"] > SCHEMA:
            raise ParetoError(
                f"{path}: written by pareto {info['version']} (schema {info['schema']}), newer than this pareto "
                f"{__version__} (schema {SCHEMA}); upgrade pareto"
            )
        return series

    @cached_property
    def info(self) -> dict[str, Any]:
        """``rounds.json``: schema, version, name, created (UTC), recipe."""
        info: dict[str, Any] = read_json(self.path / INFO)
        return info

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the series. Raises ParetoError where its file is damaged."""
        try:
            return Recipe.model_validate(self.info["recipe"])
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ParetoError(
                f"{self.path / INFO}: no recipe of this version of pareto: {where}: {first['msg']}"
            ) from None

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.info["name"])

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of the finished rounds, the first first. Raises ParetoError for one that is damaged."""
        found: list[dict[str, Any]] = []
        while (path := self.record_path(len(found) + 1)).is_file():
            record = read_json(path)
            if not isinstance(record, dict) or record.get("round") != len(found) + 1:
                raise ParetoError(f"{path}: damaged, not the record of round {len(found) + 1}; move it away")
            found.append(record)
        return found

    @property
    def queue(self) -> AnnotationQueue:
        """Questions and labels of all rounds."""
        return AnnotationQueue(self.path / "labels")

    @property
    def review(self) -> ReviewQueue:
        """Completions that the reward models disagree on."""
        return ReviewQueue(self.path / "review")

    def log(self, event: str, **fields: Any) -> None:
        """Append one line ``{"time", "event", …}`` to ``log.jsonl``."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        append_line(self.path / "log.jsonl", to_json(line))

    def record_path(self, number: int) -> Path:
        """Where a round's record is, or will be."""
        return self.path / f"round-{number}.json"

    def rewards(self, objective: str, number: int) -> Path:
        """Folder of an objective's ensemble in a round."""
        return self.path / "rewards" / objective / f"round-{number}"

    def rollouts(self, number: int) -> Path:
        """Table of the completions that a round chooses from."""
        return self.path / "rollouts" / f"round-{number}.parquet"

    def run_name(self, number: int) -> str:
        """Name of the run that a round's sweep is."""
        return f"{self.name}-round-{number}"

    def run(self, number: int) -> Run:
        """That run. Raises ParetoError where there is none."""
        return Run.open(self.run_name(number), self.path.parent)


def owner(root: str | Path, run: str) -> str | None:
    """The series that a run is a round of, by its name ``<series>-round-<number>``."""
    found = _ROUND.fullmatch(run)
    return found[1] if found and found[1] in list_rounds(root) else None


def list_rounds(root: str | Path = "runs") -> list[str]:
    """Names of the series under ``root``, sorted; ``Rounds.open`` takes them."""
    found = [p.parent.name for p in Path(root).glob(f"*{SUFFIX}/{INFO}") if not p.parent.name.startswith(".")]
    return sorted(name.removesuffix(SUFFIX) for name in found)


def _lasting(section: dict[str, Any]) -> dict[str, Any]:
    """The section without who labels: every label says who gave it, so others may take over."""
    labels = {k: v for k, v in section.get("labels", {}).items() if k not in ("annotator", "judge")}
    return {**section, "labels": labels}


def _difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Sections, and keys of the section ``rounds``, in which two recipes differ; who carries the work is left out."""
    keys = sorted(key for key in {*old, *new} - {"rounds", "engine"} if old.get(key) != new.get(key))
    before, after = (_lasting(tree.get("rounds", {})) for tree in (old, new))
    return keys + [f"rounds.{k}" for k in sorted({*before, *after} - {*FREE}) if before.get(k) != after.get(k)]
