"""New members of a run's bank: adapters from elsewhere, and combinations of members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.models import Base
from pareto.soups.combine import combine
from pareto.soups.compress import Loss, compress, total
from pareto.soups.foreign import read_foreign
from pareto.soups.members import Kind, Member, check_name, members, save
from pareto.store.files import fingerprint, folder_ok
from pareto.store.run import Run
from pareto.training.adapters import State, hash_state, read_adapter


@dataclass(frozen=True)
class Joined:
    """A new member and what its truncation lost."""

    member: Member
    losses: list[Loss]
    """One per module."""


def add_folders(
    run: Run,
    base: Base,
    folders: Sequence[Path],
    *,
    name: str | None = None,
    rank: int | None = None,
    same_base: bool = False,
) -> list[Joined]:
    """Add PEFT LoRA folders to a run's bank: all of them, or none where one is refused.

    Args:
        run: the run.
        base: its base model.
        folders: each becomes a member of the folder's name.
        name: another name for the only folder.
        rank: compress to this rank; ``None`` adds them exactly.
        same_base: see ``read_foreign``.

    Raises:
        ParetoError: see ``read_foreign`` and ``members.save``; or a name for several folders.
    """
    if name is not None and len(folders) > 1:
        raise ParetoError(f"--name {name}: one name for {len(folders)} adapters; add them one by one, or leave it away")
    lora = run.recipe.training.lora
    scale = lora.alpha / lora.rank
    names = [path.resolve().name if name is None else name for path in folders]
    for wanted in names:
        check_name(run, wanted)
    factors: list[tuple[Member, State, State]] = []
    settings: dict[str, dict[str, Any]] = {}
    joined = []
    for path, wanted in zip(folders, names, strict=True):
        a, b = read_foreign(path, base, lora, same_base=same_base)
        made_of = {"kind": "added", "source": [hash_state(a), hash_state(b)], "rank": rank, "scale": scale}
        a, b, losses = compress(a, b, rank, scale)
        source = {"folder": str(path.resolve()), "rank": rank}
        member = _member(wanted, "added", base, made_of, losses, source)
        factors.append((member, a, b))
        settings[member.adapter] = made_of
        joined.append(Joined(member, losses))
    save(run, base, factors, settings)
    return joined


def add_combination(
    run: Run,
    base: Base,
    coefficients: Mapping[str, float],
    *,
    name: str,
    method: str,
    density: float,
    rank: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Joined:
    """Combine members of a run's bank into a new one; arguments as of ``combine``.

    Raises:
        ParetoError: see ``combine`` and ``members.save``; or an unknown or damaged member.
    """
    here = members(run)
    parts: dict[str, tuple[State, State]] = {}
    for part in coefficients:
        if part not in here:
            raise ParetoError(f"coefficients: no adapter '{part}' in run '{run.name}'; {suggest(part, list(here))}")
        path = run.adapters / here[part]
        if not folder_ok(path):
            raise ParetoError(f"{path}: missing or damaged; make or add '{part}' again")
        parts[part] = read_adapter(path, base)
    lora = run.recipe.training.lora
    scale = lora.alpha / lora.rank
    how = {"method": method, "density": density, "rank": rank, "seed": seed}
    made_of = {"kind": "combined", "members": [[here[n], v] for n, v in coefficients.items()], "scale": scale, **how}
    check_name(run, name, _key(base, made_of))
    a, b, losses = combine(
        parts, coefficients, scale, method=method, density=density, rank=rank, seed=seed, progress=progress
    )
    member = _member(name, "combined", base, made_of, losses, {"coefficients": dict(coefficients), **how})
    save(run, base, [(member, a, b)], {member.adapter: made_of})
    return Joined(member, losses)


def _key(base: Base, made_of: dict[str, Any]) -> str:
    return fingerprint({"base": base.fingerprint, **made_of})


def _member(name: str, kind: Kind, base: Base, made_of: dict[str, Any], losses: list[Loss], source: Any) -> Member:
    rank = max(loss.rank for loss in losses)
    return Member(name, _key(base, made_of), kind, rank, len(losses), total(losses), source)
