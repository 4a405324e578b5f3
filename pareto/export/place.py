"""Where an export goes: a folder that is whole or absent, with the hashes of its files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pareto.errors import ParetoError
from pareto.store.files import discard, sha256_file, staged, sweep_leftovers_of, write_text

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse what is in the way, before the work is done.

    Raises:
        ParetoError: something is there, and it is no earlier export or is not to be replaced.
    """
    parts = ("adapter_config.json", "manifest.json", SUMS)
    earlier = (out / "pareto.json").is_file() and any((out / name).is_file() for name in parts)
    if (out.exists() or out.is_symlink()) and not (overwrite and earlier):
        hint = "--overwrite replaces an earlier export" if earlier else "give a folder that is not"
        raise ParetoError(f"{out} is there already; {hint}")


@contextmanager
def placed(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Make an export in one step: the block fills the folder that it is given, and the hashes are added.

    An earlier export goes only once the new one is whole and on the disk, as ``out`` with ``.new`` behind it. What
    killed exports to the same place left goes first.

    Raises:
        ParetoError: see ``check_place``; or the disk is full, and nothing is left behind.
    """
    check_place(out, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(out.name + ".new")
    discard(fresh)
    for path in (out, fresh):
        sweep_leftovers_of(path)
    with staged(fresh) as made:
        yield made
        for path in _files(made):
            path.chmod(0o644)  # safetensors makes its files private: a server under another user could not read them
        write_sums(made)
    discard(out)
    fresh.rename(out)


def write_sums(folder: Path) -> None:
    """Add the hashes of all files, as ``sha256sum -c`` reads them."""
    lines = [f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    write_text(folder / SUMS, "".join(lines))


def check_sums(folder: Path) -> list[str]:
    """What is wrong with an export's files, one line each; empty where all that are there are listed and unchanged.

    Raises:
        ParetoError: there is no list of hashes, or it is none.
    """
    if not (folder / SUMS).is_file():
        raise ParetoError(f"{folder}: not an export of pareto (no {SUMS})")
    wrong, listed = [], set()
    for number, line in enumerate((folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None or Path(found[2]).is_absolute() or ".." in Path(found[2]).parts:
            raise ParetoError(f"{folder / SUMS}:{number}: damaged, not a hash and the name of a file here")
        path = folder / found[2]
        listed.add(path)
        if not path.is_file():
            wrong.append(f"{found[2]} is missing")
        elif sha256_file(path) != found[1]:
            wrong.append(f"{found[2]} is not the file that was exported (its SHA-256 differs)")
    if not listed:
        raise ParetoError(f"{folder / SUMS}: damaged, it lists no file")
    extra = [path for path in _files(folder) if path not in {*listed, folder / SUMS}]
    return wrong + [f"{path.relative_to(folder).as_posix()} is not listed in {SUMS}" for path in extra]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
