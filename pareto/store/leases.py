"""Who works on what, among processes that may be killed: critical sections and numbered leases.

They are held by the operating system (files) or the database server (PostgreSQL), so they are free again as soon as
their holder dies. A forked child drops what its parent holds; it must not use the parent's leases.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pareto.errors import ParetoError
from pareto.store.address import driver_url, scrubbed, shown

if TYPE_CHECKING:
    import psycopg


class FileLeases:
    """Leases by ``flock`` on files of a folder: for processes of one machine."""

    def __init__(self, path: Path):
        self.mine: set[int] = set()
        """Numbers that are leased to this process."""
        self._path = path
        self._files: dict[int, BinaryIO] = {}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Critical section of the folder, across processes and threads; waits. Not reentrant."""
        file = _open(self._path / "study.lock")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            _drop(file)

    def claim(self, number: int) -> bool:
        """Lease a number to this process for as long as it lives; False when another live process holds it."""
        if number in self.mine:
            return True
        # The file stays when the lease ends: two processes could hold one name's old and new file at once.
        folder = self._path / "leases"
        with _told(folder):
            folder.mkdir(exist_ok=True)
        file = _open(folder / f"{number}.lock")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _drop(file)
            return False
        self._files[number] = file
        self.mine.add(number)
        return True

    def release(self, number: int) -> None:
        """Give a lease of ``mine`` back."""
        self.mine.remove(number)
        _drop(self._files.pop(number))

    def close(self) -> None:
        """Give every lease back."""
        for number in tuple(self.mine):
            self.release(number)


def _open(path: Path) -> BinaryIO:
    with _told(path):
        file = open(path, "ab")  # noqa: SIM115 (it stays open as long as the lock is held)
    _HELD.add(file)
    return file


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the file system refuses, in one line."""
    try:
        yield
    except OSError as e:
        raise ParetoError(f"{path}: cannot be written: {e.strerror}") from None


class PostgresLock:
    """A critical section by an advisory lock of a session: for processes of any machine."""

    def __init__(self, url: str, name: str):
        """``name``: of what is locked in the database."""
        self._url, self._name = url, name

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Inside, nobody else is; waits. Not reentrant.

        Raises:
            ParetoError: when the database cannot be reached; without the address's password.
        """
        import psycopg

        # A session of its own: within one session advisory locks do not exclude threads from each other.
        session = self._connect()
        try:
            try:
                session.execute("select pg_advisory_lock(%s)", (_key(self._name),))
            except psycopg.OperationalError as e:
                raise self._unreachable(e) from None
            yield
        finally:
            _drop(session)

    def _connect(self) -> psycopg.Connection:
        try:
            import psycopg
        except ImportError:
            raise ParetoError(
                "a PostgreSQL storage needs psycopg; install it with: pip install 'pareto[postgres]'"
            ) from None

        # A server notices that a machine is gone only by keepalives; its default is two hours.
        settings = {"tcp_keepalives_idle": 60, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 6}
        # Waiting for the lock is what these sessions are for.
        settings |= {"idle_session_timeout": 0, "statement_timeout": 0, "lock_timeout": 0}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        try:
            session = psycopg.connect(driver_url(self._url), autocommit=True, connect_timeout=10, options=options)
        except psycopg.Error as e:
            raise self._unreachable(e) from None
        _HELD.add(session)
        return session

    def _unreachable(self, error: Exception) -> ParetoError:
        return ParetoError(f"storage {shown(self._url)}: {scrubbed(str(error), self._url)}")


def _key(name: str) -> int:
    """A signed integer of eight bytes that stands for a name among all users of the database."""
    return int.from_bytes(hashlib.sha256(f"pareto {name}".encode()).digest()[:8], "big", signed=True)


class _Held(Protocol):
    """An open file or connection: as long as a process has it open, a lock or a lease is held."""

    @property
    def closed(self) -> bool: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


_HELD: set[_Held] = set()


def _drop(held: _Held) -> None:
    _HELD.discard(held)
    held.close()


def _drop_inherited() -> None:
    # Else a forked data-loading worker that outlives its killed parent would keep the parent's leases. Closing a
    # connection would say goodbye to the server in the parent's name; its descriptor is pointed elsewhere instead.
    null = os.open(os.devnull, os.O_RDWR)
    for held in _HELD:
        if not held.closed:
            os.dup2(null, held.fileno(), inheritable=False)
    os.close(null)
    _HELD.clear()


os.register_at_fork(after_in_child=_drop_inherited)
