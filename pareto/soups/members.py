"""What a run's bank has: the adapters that its sweep trained, and those that were added or combined by hand.

An added adapter is a sealed folder beside the trained ones, named by a hash of what made it, and one small file
``bank/<name>.json`` that gives it its name.
"""

from __future__ import annotations

import fcntl
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.records import SCHEMA, Point
from pareto.store.files import discard, fingerprint, folder, folder_ok, read_json, write_json
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.training.adapters import State, write_adapter

if TYPE_CHECKING:
    from pareto.models import Base

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_SWEEP = re.compile(r"base|soup|(expert|trial|soup|look|map|mix)-.*")
"""Names that a sweep, a map or a measurement gives, perhaps later."""

LARGEST = 100.0
"""Of a coefficient, either way: an update a hundred times its size says nothing any more, and sums stay finite."""

Kind = Literal["added", "combined"]


@dataclass(frozen=True)
class Member:
    """An adapter of a bank that no sweep trained."""

    name: str
    adapter: str
    """Its folder in the run's ``adapters/``."""
    kind: Kind
    rank: int
    """The largest of its modules'."""
    modules: int
    """How many it adapts."""
    error: float
    """Frobenius norm of what its truncation lost, as a share of the whole update; 0 where it is exact."""
    made_from: dict[str, Any] = field(default_factory=dict)
    """The folder that it came from and the rank asked for, or the members and settings of the combination."""


def members(run: Run) -> dict[str, str]:
    """Name → folder in the run's ``adapters/``: what coefficients can be given for.

    Trained adapters have the ids of their points and come first; both kinds are sorted by name.

    Raises:
        ParetoError: a member's file in ``bank/`` is damaged.
    """
    return trained(run) | {name: member.adapter for name, member in added(run).items()}


def trained(run: Run) -> dict[str, str]:
    """The adapters that the sweep trained: its points' own, sorted by name."""
    return {p.id: p.adapters[p.id] for p in load_points(run) if p.id in p.adapters}


def added(run: Run) -> dict[str, Member]:
    """The adapters that were added or combined, sorted by name.

    Raises:
        ParetoError: a member's file in ``bank/`` is damaged.
    """
    return {path.stem: _read(path) for path in _files(run)}


def check_name(run: Run, name: str, adapter: str | None = None) -> None:
    """Refuse a name that cannot be a new member's.

    Args:
        run: the run.
        name: the wanted name.
        adapter: the adapter that is to have it, where that is known; it may have it already.

    Raises:
        ParetoError: it cannot be written in coefficients, or is a point's, or is kept for what sweeps make, or is
            another member's.
    """
    if not _NAME.fullmatch(name):
        raise ParetoError(f"name {name!r}: must be letters, digits and _ . + -, not starting with a mark; give --name")
    if _SWEEP.fullmatch(name) or any(p.id == name for p in load_points(run)):
        raise ParetoError(f"name '{name}': is a point's of this run, or is kept for one; give another --name")
    taken = added(run).get(name)
    if adapter is not None and taken is not None and taken.adapter != adapter:
        raise ParetoError(
            f"name '{name}': is another adapter's in the bank of run '{run.name}'; give another --name, or first: "
            f"pareto bank remove {run.name} {name}"
        )


def save(
    run: Run, base: Base, factors: list[tuple[Member, State, State]], settings: Mapping[str, dict[str, Any]]
) -> None:
    """Put new members into the bank, all or none of them; one that is there already is left as it is.

    Args:
        run: the run.
        base: its base model.
        factors: the members with their A and B in the run's scale.
        settings: adapter → what its hash is of, for the folder's ``pareto.json``.

    Raises:
        ParetoError: a name is taken by another adapter, or the disk is full.
    """
    with _lock(run):
        here = added(run)
        names = [member.name for member, _, _ in factors]
        for member, _, _ in factors:
            if names.count(member.name) > 1:
                raise ParetoError(f"name '{member.name}': two of these adapters would have it; add one by one, --name")
            check_name(run, member.name, member.adapter)
        for member, a, b in factors:
            path = run.adapters / member.adapter
            if path.exists() and not folder_ok(path):
                discard(path)
            if not path.exists():
                with folder(path) as made:
                    write_adapter(made, base, run.recipe.training.lora, a, b, settings[member.adapter])
        new = [member for member, _, _ in factors if member.name not in here]
        try:
            for member in new:
                body = asdict(member)
                sealed = {"schema": SCHEMA, "seal": fingerprint(body), "member": body}
                write_json(_bank(run) / f"{member.name}.json", sealed)
        except BaseException:
            for member in new:
                (_bank(run) / f"{member.name}.json").unlink(missing_ok=True)
            raise


def remove(run: Run, name: str) -> None:
    """Take an added adapter out of the bank; its folder goes where no point and no other member needs it.

    Raises:
        ParetoError: no such member, or one that the sweep trained.
    """
    with _lock(run):
        if name in trained(run):
            raise ParetoError(f"'{name}' was trained by the sweep of run '{run.name}'; only added adapters are removed")
        adapters = {path.stem: _adapter(path) for path in _files(run)}
        if name not in adapters:
            raise ParetoError(f"no added adapter '{name}' in run '{run.name}'; {_known(list(adapters), name)}")
        adapter = adapters.pop(name)
        (_bank(run) / f"{name}.json").unlink()
        needed = {key for p in load_points(run) for key in p.adapters.values()} | set(adapters.values())
        # Of a damaged file nobody knows which adapter it needs.
        if adapter is not None and not needed & {adapter, None}:
            discard(run.adapters / adapter)


def soup_point(run: Run, coefficients: Mapping[str, float]) -> Point:
    """The soup of members with these coefficients, unmeasured.

    Args:
        run: the run.
        coefficients: member → λ, at most ``LARGEST`` either way.

    Raises:
        ParetoError: an unknown member, a coefficient out of range, a member whose folder is damaged.
    """
    here = members(run)
    extra = added(run)
    for name, value in coefficients.items():
        if name not in here:
            raise ParetoError(f"coefficients: no adapter '{name}' in run '{run.name}'; {_known(list(here), name)}")
        if not math.isfinite(value):
            raise ParetoError(f"coefficients: {name}={value:g} is not a finite number")
        if abs(value) > LARGEST:
            raise ParetoError(f"coefficients: {name}={value:g} is out of range; from -{LARGEST:g} to {LARGEST:g}")
        if name in extra and not folder_ok(run.adapters / here[name]):
            raise ParetoError(f"{run.adapters / here[name]}: missing or damaged; add '{name}' to the bank again")
    used = {name: float(value) for name, value in coefficients.items() if value != 0}
    nan = dict.fromkeys(run.recipe.names, float("nan"))
    return Point(
        id="soup",
        kind="soup",
        split="test",
        weights=None,
        coefficients=used,
        adapters={name: here[name] for name in used},
        mean=nan,
        se=nan,
        n=dict.fromkeys(run.recipe.names, 0),
        gold={},
        kl=float("nan"),
        scores="",
    )


def _bank(run: Run) -> Path:
    """Runs of earlier versions have no such folder: it is made when it is first written to."""
    return run.path / "bank"


def _files(run: Run) -> list[Path]:
    # Names with a dot in front are files in the making.
    return sorted(path for path in _bank(run).glob("*.json") if not path.name.startswith("."))


def _adapter(path: Path) -> str | None:
    """The adapter of a member's file; ``None`` where that is damaged."""
    try:
        return _read(path).adapter
    except ParetoError:
        return None


def _known(names: list[str], wanted: str) -> str:
    return suggest(wanted, names) if names else "there is none"


def _read(path: Path) -> Member:
    stored = read_json(path)
    try:
        body = stored["member"]
        member = Member(**body)
        if stored["seal"] == fingerprint(body) and member.name == path.stem and member.adapter.isalnum():
            return member
    except (KeyError, TypeError, ValueError):
        pass
    raise ParetoError(f"{path}: damaged; take it away with `pareto bank remove` and add the adapter again")


@contextmanager
def _lock(run: Run) -> Iterator[None]:
    """One process at a time changes a bank."""
    _bank(run).mkdir(exist_ok=True)
    with open(_bank(run) / "bank.lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
