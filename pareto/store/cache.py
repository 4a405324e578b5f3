"""What a machine keeps between two runs of pareto, and the bound on what it keeps of other machines' runs."""

from __future__ import annotations

import fcntl
import os
import secrets
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from pareto.errors import ParetoError
from pareto.store.files import discard

GB = 10**9


def cache_root() -> Path:
    """Where fetched and converted things are kept: ``$PARETO_CACHE`` or ``~/.cache/pareto``."""
    return Path(os.environ.get("PARETO_CACHE") or Path.home() / ".cache" / "pareto")


class NodeCache:
    """Artefacts that are also on a share, so that the longest unused may go when there are too many.

    Several processes of a machine keep theirs together. What one of them uses stays for as long as its object lives:
    the operating system holds the lock, and frees it after ``kill -9`` too.
    """

    def __init__(self, root: Path, gb: float) -> None:
        """Open it.

        Args:
            root: folder with one folder per run.
            gb: 10⁹ bytes beyond which unused artefacts go.

        Raises:
            ParetoError: it cannot be written; so do the other methods.
        """
        self._root, self._bytes = root, int(gb * GB)
        with _told(root):
            (root / ".users").mkdir(parents=True, exist_ok=True)
        self._mine = root / ".users" / secrets.token_hex(8)
        with self._alone():
            held = os.open(self._mine, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            fcntl.flock(held, fcntl.LOCK_EX)
        self._held = held
        self._close = weakref.finalize(self, _let_go, held, self._mine, os.getpid())

    def use(self, run: Path, names: Iterable[str]) -> None:
        """Keep artefacts, by their names in a run's folder, for as long as this object lives."""
        with self._alone():
            os.write(self._held, "".join(f"{run / name}\n" for name in names).encode())

    def mark(self, run: Path, name: str) -> None:
        """Say that an artefact is also on the share, and was used just now."""
        mark = run / ".kept" / quote(name, safe="")
        with _told(self._root):
            mark.parent.mkdir(exist_ok=True)
            mark.touch()

    def trim(self) -> list[Path]:
        """Remove what is over the bound, the longest unused first; what was removed."""
        removed = []
        with self._alone():
            used = self._used()
            kept = sorted(self._root.glob("*/*/.kept/*"), key=lambda mark: mark.stat().st_mtime_ns)
            places = {mark: mark.parent.parent / unquote(mark.name) for mark in kept}
            sizes = {mark: _size(place) for mark, place in places.items()}
            total = sum(sizes.values())
            for mark, place in places.items():
                if total <= self._bytes:
                    break
                if place not in used:
                    discard(place)
                    mark.unlink()
                    total -= sizes[mark]
                    removed.append(place)
        return removed

    def _used(self) -> set[Path]:
        """What living processes use; the lists of dead ones are cleared away."""
        used: set[Path] = set()
        for listed in (self._root / ".users").iterdir():
            with suppress(FileNotFoundError):  # its holder has just let go of it
                file = os.open(listed, os.O_RDONLY)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    listed.unlink()
                except BlockingIOError:
                    used |= {Path(line) for line in listed.read_text().splitlines()}
                finally:
                    os.close(file)
        return used

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with _told(self._root):
            lock = os.open(self._root / ".lock", os.O_CREAT | os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)


@contextmanager
def _told(root: Path) -> Iterator[None]:
    """What the file system refuses, in one line."""
    try:
        yield
    except OSError as e:
        raise ParetoError(
            f"{root}: cannot be written: {e.strerror}; point PARETO_CACHE to a folder with room"
        ) from None


def _let_go(held: int, listed: Path, holder: int) -> None:
    if os.getpid() == holder:  # not in a forked child
        listed.unlink(missing_ok=True)
    os.close(held)


def _size(path: Path) -> int:
    """Bytes of a file or a folder; 0 where it has gone."""
    with suppress(FileNotFoundError):
        return sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
    return 0
