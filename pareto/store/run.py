"""A run's folder, ``runs/<name>/``: its recipe, its artefacts and its log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pareto import __version__
from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.records import SCHEMA
from pareto.store.address import shown
from pareto.store.files import Taken, append_line, fingerprint, read_json, staged, to_json, write_json

FOLDERS = ("rollouts", "scores", "adapters", "points")


@dataclass(frozen=True)
class Run:
    """A run that is on disk; made by ``create`` or ``open``."""

    path: Path
    """Its folder, absolute."""

    @classmethod
    def create(cls, root: str | Path, recipe: Recipe, storage: str | None = None) -> Run:
        """Make the run's folder, or reopen it when the same recipe made it.

        Args:
            root: folder of all runs.
            recipe: the resolved recipe; its name is the run's.
            storage: address of a PostgreSQL database; ``None`` for SQLite in the folder, or for what the run has.

        Raises:
            ParetoError: when another recipe or another storage made the run of that name, or as ``open`` does.
        """
        tree = _tree(recipe)
        path = Path(root).absolute() / recipe.name
        if not (path / "run.json").exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            info = {
                "schema": SCHEMA,
                "version": __version__,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "recipe_hash": fingerprint(tree),
                "storage": None if storage is None else shown(storage),
            }
            try:
                with staged(path) as temporary:
                    for name in FOLDERS:
                        (temporary / name).mkdir()
                    write_json(temporary / "recipe.json", tree)
                    write_json(temporary / "run.json", info)
            except Taken:  # perhaps by another worker that has just made the same run
                if not (path / "run.json").exists():
                    raise ParetoError(f"{path}: exists and is not a run (no run.json); use another `name:`") from None
        run = cls.open(path)
        if not run.made_by(recipe):
            raise ParetoError(f"{path}: made by another recipe ({_difference(run, tree)}); use another `name:`")
        if storage is not None and shown(storage) != run.storage:
            kept = run.storage or "SQLite in its folder"
            raise ParetoError(f"{path}: keeps its study in {kept}, not in {shown(storage)}; use another `name:`")
        return run

    @classmethod
    def open(cls, path_or_name: str | Path, root: str | Path = "runs") -> Run:
        """A run by its name under ``root``, or by the path of its folder.

        Raises:
            ParetoError: when there is none, when it is damaged, or when a newer version of pareto wrote it.
        """
        run = cls(_find(path_or_name, Path(root)))
        if not _is_info(run.info):
            raise ParetoError(f"{run.path / 'run.json'}: damaged, not the description of a run")
        if run.info["schema"] > SCHEMA:
            raise ParetoError(
                f"{run.path}: written by pareto {run.info['version']} (schema {run.info['schema']}), newer than this "
                f"pareto {__version__} (schema {SCHEMA}); upgrade pareto"
            )
        return run

    @cached_property
    def info(self) -> dict[str, Any]:
        """``run.json``: schema, version, created (UTC), recipe_hash, storage (no password; ``None`` for SQLite)."""
        info: dict[str, Any] = read_json(self.path / "run.json")
        return info

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe that made the run. Raises ParetoError when its file is damaged."""
        path = self.path / "recipe.json"
        tree = read_json(path)
        if fingerprint(tree) != self.recipe_hash:
            raise ParetoError(f"{path}: damaged or edited, it is not the recipe that made this run; restore it")
        try:
            return Recipe.model_validate(tree)
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ParetoError(f"{path}: not a recipe of this version of pareto: {where}: {first['msg']}") from None

    @property
    def name(self) -> str:
        """The recipe's name, under which the storage knows the study."""
        return self.recipe.name

    @property
    def recipe_hash(self) -> str:
        """Fingerprint of the resolved recipe."""
        return str(self.info["recipe_hash"])

    def made_by(self, recipe: Recipe) -> bool:
        """Whether this recipe made the run; its sections ``engine`` and ``rounds`` say nothing of what is made."""
        return self.recipe_hash == fingerprint(_tree(recipe))

    @property
    def storage(self) -> str | None:
        """Address of the PostgreSQL database without its password; ``None`` for SQLite in the folder."""
        storage: str | None = self.info["storage"]
        return storage

    @property
    def rollouts(self) -> Path:
        """Folder of the pools of completions."""
        return self.path / "rollouts"

    @property
    def scores(self) -> Path:
        """Folder of the per-prompt scores."""
        return self.path / "scores"

    @property
    def adapters(self) -> Path:
        """Folder of the trained adapters, one folder each."""
        return self.path / "adapters"

    @property
    def points(self) -> Path:
        """Folder of the measured points."""
        return self.path / "points"

    @property
    def log_path(self) -> Path:
        """The file that ``log`` appends to."""
        return self.path / "log.jsonl"

    def log(self, event: str, **fields: Any) -> None:
        """Append one line ``{"time", "event", …}`` to ``log.jsonl``; lines of several processes do not mix."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        append_line(self.log_path, to_json(line))

    def events(self) -> list[dict[str, Any]]:
        """What was logged so far; a line that is not whole is left out."""
        found = []
        for line in self.log_path.read_text(encoding="utf-8").splitlines() if self.log_path.is_file() else []:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(event, dict) and {"time", "event"} <= event.keys():
                found.append(event)
        return found


def list_runs(root: str | Path = "runs") -> list[dict[str, Any]]:
    """The runs under ``root``, sorted by name: name, created, schema; the last two ``None`` where it is damaged."""
    found = []
    for path in _folders(Path(root)):
        try:
            info = read_json(path / "run.json")
        except ParetoError:
            info = None
        known = info if _is_info(info) else {"created": None, "schema": None}
        found.append({"name": path.name, "created": known["created"], "schema": known["schema"]})
    return found


def _find(path_or_name: str | Path, root: Path) -> Path:
    """Where a run is. What is no plain name must be the path of a run: a name never leads out of ``root``."""
    named = root / path_or_name
    if named.parent == root and named.name == str(path_or_name) != ".." and (named / "run.json").is_file():
        return named.absolute()
    if (Path(path_or_name) / "run.json").is_file():
        return Path(path_or_name).resolve()
    names = ", ".join(path.name for path in _folders(root)) or "none"
    raise ParetoError(f"no run '{path_or_name}'; runs in {root}: {names}")


def _folders(root: Path) -> list[Path]:
    # Names with a dot in front are folders in the making.
    return sorted(p.parent for p in root.glob("*/run.json") if not p.parent.name.startswith("."))


def _is_info(info: Any) -> bool:
    wanted = {"schema": int, "version": str, "created": str, "recipe_hash": str, "storage": str | None}
    return isinstance(info, dict) and all(k in info and isinstance(info[k], t) for k, t in wanted.items())


def _tree(recipe: Recipe) -> dict[str, Any]:
    """What a run keeps of its recipe."""
    return recipe.model_dump(mode="json", exclude={"engine", "rounds"})


def _difference(run: Run, tree: dict[str, Any]) -> str:
    old = read_json(run.path / "recipe.json")
    keys = sorted(key for key in {*old, *tree} if old.get(key) != tree.get(key))
    return f"different: {', '.join(keys)}"
