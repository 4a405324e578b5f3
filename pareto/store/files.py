"""Files and folders that are whole or absent.

Everything is written under a temporary name in the same folder, brought to the disk and renamed into place, so a
reader, or the next start after ``kill -9``, sees the old content or the new, never a part. A folder carries a seal,
``artefact.json``, with the hash of each of its files.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from pareto.errors import ParetoError
from pareto.records import SCHEMA

SEAL = "artefact.json"
_TEMPORARY = re.compile(r"^\..+\.tmp-(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{8}$")


def fingerprint(obj: Any) -> str:
    """Name of plain data: the first 16 hex digits of the SHA-256 of its canonical JSON.

    Tuples equal lists, the order of keys does not matter, NaN equals None.

    Raises:
        TypeError: for anything but dict, list, tuple, str, int, float, bool and None.
        ValueError: for infinities.
    """
    return hashlib.sha256(to_json(obj, separators=(",", ":"), sort_keys=True).encode()).hexdigest()[:16]


def to_json(obj: Any, **layout: Any) -> str:
    """Plain data as JSON text; NaN becomes null. ``layout`` as ``json.dumps`` takes it; raises as ``fingerprint``."""
    return json.dumps(_plain(obj), ensure_ascii=False, allow_nan=False, **layout)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_bytes(path: str | Path, data: bytes) -> None:
    """Replace a file's content in one step; its folder must exist.

    Raises:
        ParetoError: on a full disk; the old file is whole and nothing is left behind.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        with _explained(path, lambda: f"{len(data)} bytes wanted"):
            with open(temporary, "xb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        with suppress(OSError):  # of a folder that cannot be written: what went wrong is told already
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """``write_bytes`` of the text in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, obj: Any) -> None:
    """``write_bytes`` of plain data as JSON; NaN becomes null. Raises as ``fingerprint`` and ``write_bytes`` do."""
    write_text(path, to_json(obj, indent=2) + "\n")


def append_line(path: str | Path, line: str) -> None:
    """Append one line in a single write, so that lines of several processes do not mix.

    A last line that is torn, as its writer was killed or the disk full, has no end; the new one begins after it.

    Raises:
        ParetoError: on a full disk.
    """
    data = (line + "\n").encode()
    with _explained(Path(path), lambda: f"{len(data)} bytes wanted"), open(path, "a+b", buffering=0) as f:
        if _torn(f):
            data = b"\n" + data
        if f.write(data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_json(path: str | Path) -> Any:
    """Plain data from a JSON file.

    Raises:
        ParetoError: when the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParetoError(f"{path}: no such file") from None
    except json.JSONDecodeError as e:
        raise ParetoError(f"{path}:{e.lineno}:{e.colno}: damaged, not valid JSON: {e.msg}") from None
    except UnicodeDecodeError:
        raise ParetoError(f"{path}: damaged, not valid JSON: not UTF-8 text") from None


class Taken(ParetoError):
    """Something that is not ours to replace stands where a finished folder was to go."""


@contextmanager
def staged(path: str | Path) -> Iterator[Path]:
    """Make a folder in one step: the block fills the temporary folder that it is given, which is then renamed.

    Raises:
        Taken: when something but an empty folder is at ``path`` by then.
        ParetoError: on a full disk. Nothing is left behind, whatever the block raised.
    """
    path = Path(path)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        with _explained(path, lambda: f"more than {_size(temporary)} bytes wanted"):
            yield temporary
            for place, _, names in os.walk(temporary):
                for name in [*names, ""]:
                    _sync(Path(place, name))
        try:
            os.rename(temporary, path)
        except OSError as e:
            if e.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise Taken(f"{path}: exists already and is not a whole artefact; move it out of the way") from None
            raise
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def folder(path: str | Path) -> Iterator[Path]:
    """``staged``, with a seal over what the block wrote: ``{"schema", "key", "files": {name: sha256}}``.

    ``path`` is named by a hash of what makes it. When another process was faster, its whole folder stays and ours
    goes; a damaged one must have been taken away with ``discard``, else ``Taken`` is raised.
    """
    path = Path(path)
    try:
        with staged(path) as temporary:
            yield temporary
            write_json(temporary / SEAL, {"schema": SCHEMA, "key": path.name, "files": _hashes(temporary)})
    except Taken:
        if not folder_ok(path):
            raise


def folder_ok(path: str | Path) -> bool:
    """Whether the folder is there under the name it was made for, with exactly the files and bytes of its seal."""
    path = Path(path)
    try:
        seal = read_json(path / SEAL)
        return bool(seal["key"] == path.name and seal["files"] == _hashes(path))
    except (ParetoError, OSError, KeyError, TypeError):
        return False


def sealed_info(path: Path, name: str, what: str, command: str) -> dict[str, Any]:
    """What a sealed folder's JSON file says of it.

    Args:
        path: the folder.
        name: of the file; it tells its ``schema``.
        what: the folder is, with its article.
        command: that makes such folders.

    Raises:
        ParetoError: it is missing, damaged or of a newer version.
    """
    if not (path / name).is_file():
        raise ParetoError(f"{path}: not {what} (no {name}); `{command}` makes one")
    info = read_json(path / name)
    schema = info.get("schema") if isinstance(info, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise ParetoError(f"{path}: written by a newer pareto (schema {schema}); upgrade pareto")
    if not isinstance(schema, int) or not folder_ok(path):
        raise ParetoError(
            f"{path}: damaged or edited, its files are not those that were written; move it away and train anew"
        )
    return dict(info)


def discard(path: str | Path) -> None:
    """Take a damaged file or folder out of the way for good, in one step; a missing one is fine."""
    path = Path(path)
    gone = _temporary(path)
    try:
        os.rename(path, gone)
    except FileNotFoundError:
        return
    _remove(gone)


def sweep_leftovers(root: str | Path) -> list[Path]:
    """Remove the temporary files and folders of processes of this machine that no longer live.

    Returns:
        What was removed. Those of other machines stay: whether their makers live cannot be seen from here.
    """
    removed = []
    for place, folders, names in os.walk(root):
        found = [name for name in folders + names if _TEMPORARY.match(name)]
        folders[:] = [name for name in folders if name not in found]
        for name in found:
            if _maker_is_gone(name):
                _remove(Path(place, name))
                removed.append(Path(place, name))
    return sorted(removed)


def sweep_leftovers_of(path: str | Path) -> None:
    """``sweep_leftovers`` of what was to become one file or folder, or was it; what lies beside it is not looked at."""
    path = Path(path)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.tmp-*"):
        if _maker_is_gone(leftover.name):
            _remove(leftover)


def _temporary(path: Path) -> Path:
    """A fresh name beside ``path`` that says who makes it."""
    maker = f"{socket.gethostname()}-{os.getpid()}"
    return path.with_name(f".{path.name}.tmp-{maker}-{secrets.token_hex(4)}")


def _maker_is_gone(name: str) -> bool:
    maker = _TEMPORARY.match(name)
    if maker is None or maker["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(maker["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives and belongs to someone else
        pass
    return False


def _remove(path: Path) -> None:
    # Another process may be sweeping the same leftovers: what is gone already is fine.
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path, wanted: Callable[[], str]) -> Iterator[None]:
    """Turn a full or read-only disk into one clear line. Rust writers (safetensors) tell in their message only."""
    try:
        yield
    except Exception as e:
        full = isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or os.strerror(errno.ENOSPC) in str(e):
            raise ParetoError(f"disk is full: {path}, {wanted()}") from e
        if isinstance(e, OSError) and e.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise ParetoError(f"{path}: cannot be written: {e.strerror}; make the folder writable") from e
        raise


def _torn(file: FileIO) -> bool:
    """Whether the last line has no end; one that another process is writing has it in a moment."""
    for seconds in (0.0, 0.01, 0.1):
        time.sleep(seconds)
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        if file.read(1) in (b"", b"\n"):
            return False
    return True


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file())


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in _files(path))


def _hashes(path: Path) -> dict[str, str]:
    """Relative name → SHA-256 of every file but the seal."""
    return {str(p.relative_to(path)): sha256_file(p) for p in _files(path) if p != path / SEAL}


def _sync(path: Path) -> None:
    """Bring a file's bytes or a folder's names to the disk: a rename is safe only once its folder is."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _plain(obj: Any) -> Any:
    """The same data with NaN as None."""
    if isinstance(obj, dict):
        return {key: _plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [_plain(value) for value in obj]
    return None if isinstance(obj, float) and obj != obj else obj
