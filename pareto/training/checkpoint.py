"""What a killed training goes on from: the state between two steps of a trainer, in sealed folders.

``<folder>/<adapter key>/<step>/`` holds ``state.safetensors`` (every trained tensor, the optimiser's moments and
torch's random state) and ``checkpoint.json`` (the adapter's key, the log so far and what else is plain data).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.errors import ParetoError
from pareto.store.files import discard, folder, folder_ok, read_json, write_bytes, write_json

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """How a training is kept from beginning again."""

    folder: Path
    """The run's folder of checkpoints; each adapter has its own in it, named by its key."""
    every: int
    """Optimiser steps from one checkpoint to the next, at least 1."""
    note: Callable[[str], None] = lambda line: None
    """Told in one line of a checkpoint that could not be written or was left out."""
    kept: Callable[[Path], None] = lambda path: None
    """Given each one that was written; a ParetoError of it is noted."""


@dataclass(frozen=True)
class Saved:
    """A trainer between two steps."""

    step: int
    """Optimiser steps done."""
    log: Sequence[Mapping[str, float]]
    """The trainer's ``log_history``."""
    tensors: Mapping[str, Tensor]
    """``value/<parameter>``, ``<moment>/<parameter>`` and ``random/<device>``."""
    rest: Mapping[str, Any]
    """Plain data of the optimiser, the schedule and the scaling of gradients."""


@dataclass(frozen=True)
class Checkpoints:
    """Those of one adapter: at most two lie there, each whole or absent."""

    asked: Checkpoint
    key: str
    """The adapter's."""

    @property
    def path(self) -> Path:
        """Their folder; it may be missing."""
        return self.asked.folder / self.key

    def steps(self) -> list[Path]:
        """The folders, the newest first."""
        return sorted((p for p in self.path.glob("*") if p.name.isdigit()), key=lambda p: int(p.name), reverse=True)

    def write(self, saved: Saved) -> None:
        """Keep this state and the one before it. A disk that is full or read-only is noted, and training goes on."""
        from safetensors.torch import save

        try:
            for old in self.steps()[1:]:  # before the new one is written: the disk may be short
                discard(old)
            self.path.mkdir(parents=True, exist_ok=True)
            with folder(self.path / f"{saved.step:06d}") as made:
                write_bytes(made / "state.safetensors", save(dict(saved.tensors)))
                told = {"key": self.key, "versions": versions(), "log": list(saved.log), **saved.rest}
                write_json(made / "checkpoint.json", told)
            self.asked.kept(self.path / f"{saved.step:06d}")
        except (ParetoError, OSError) as e:
            self.asked.note(f"no checkpoint at step {saved.step}: {e}; training goes on without")

    def newest(self, shapes: Mapping[str, Sequence[int]]) -> Saved | None:
        """The newest one that fits; those that do not are noted and taken away.

        Args:
            shapes: trained parameter → its shape.
        """
        for path in self.steps():
            try:
                return self._read(path, shapes)
            except ParetoError as e:
                self.asked.note(f"checkpoint left out: {e}")
                discard(path)
        return None

    def remove(self) -> None:
        """Take all of them away: the adapter is whole, and nothing about them may spoil that."""
        with suppress(OSError):
            discard(self.path)

    def _read(self, path: Path, shapes: Mapping[str, Sequence[int]]) -> Saved:
        from safetensors import SafetensorError
        from safetensors.torch import load

        if not folder_ok(path):
            raise ParetoError(f"{path}: damaged, its files are not those that were written")
        told = read_json(path / "checkpoint.json")
        if told["key"] != self.key:
            raise ParetoError(f"{path}: it is of another adapter, {told['key']}")
        if told["versions"] != versions():
            raise ParetoError(f"{path}: written with other versions ({told['versions']}) than these ({versions()})")
        try:
            # Read whole, not mapped: another process of this training may take the file away.
            tensors = load((path / "state.safetensors").read_bytes())
        except (SafetensorError, OSError) as e:
            raise ParetoError(f"{path}: state.safetensors cannot be read: {e}") from None
        found = {k.removeprefix("value/"): tuple(v.shape) for k, v in tensors.items() if k.startswith("value/")}
        if found != {name: tuple(shape) for name, shape in shapes.items()}:
            raise ParetoError(f"{path}: its tensors are not those that are trained")
        # JSON has no NaN: an objective that applied to no row was logged as one.
        log = [{k: float("nan") if v is None else v for k, v in row.items()} for row in told["log"]]
        rest = {k: v for k, v in told.items() if k not in ("key", "versions", "log")}
        return Saved(int(path.name), log, tensors, rest)


def versions() -> dict[str, str]:
    """Of the packages whose state it is: another version may mean something else by the same names."""
    return {name: version(name) for name in ("pareto", "torch", "transformers", "trl")}
