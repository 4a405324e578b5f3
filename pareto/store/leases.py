"""Who works on what, among processes that may be killed: one critical section per study, one lease per trial.

Both are held by the operating system (SQLite runs) or the database server (PostgreSQL), so they are free again as soon
as their holder dies. A forked child drops what its parent holds; it must not use the parent's leases.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, LiteralString, Protocol

from pareto.errors import ParetoError
from pareto.store.address import driver_url, scrubbed, shown

if TYPE_CHECKING:
    import psycopg


class Leases(Protocol):
    """Locks and leases of one study, as one process sees them."""

    mine: set[int]
    """Numbers of the trials that are leased to this process."""

    def setup(self) -> AbstractContextManager[None]:
        """Critical section for making the storage's tables. Not reentrant."""

    def lock(self) -> AbstractContextManager[None]:
        """Critical section of the study, across processes and threads; waits. Not reentrant."""

    def claim(self, number: int) -> bool:
        """Lease a trial to this process for as long as it lives; False when another live process holds it."""

    def release(self, number: int) -> None:
        """Give a lease of ``mine`` back."""

    def close(self) -> None:
        """Give every lease back."""


class FileLeases:
    """Leases by ``flock`` on files of the run's folder: for processes of one machine."""

    def __init__(self, path: Path):
        self.mine: set[int] = set()
        self._path = path
        self._files: dict[int, BinaryIO] = {}

    def setup(self) -> AbstractContextManager[None]:
        """See ``Leases.setup``: the database is the run's own, so it is the study's critical section."""
        return self.lock()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See ``Leases.lock``."""
        file = _open(self._path / "study.lock")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            _drop(file)

    def claim(self, number: int) -> bool:
        """See ``Leases.claim``."""
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
        """See ``Leases.release``."""
        self.mine.remove(number)
        _drop(self._files.pop(number))

    def close(self) -> None:
        """See ``Leases.close``."""
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


class PostgresLeases:
    """Leases by session-level advisory locks: for processes of any machine (not through a transaction pooler)."""

    def __init__(self, url: str, study: str):
        """Connect.

        Raises:
            ParetoError: when the database cannot be reached; without the address's password.
        """
        self.mine: set[int] = set()
        self._url = url
        self._study = study
        self._session = self._connect()

    def setup(self) -> AbstractContextManager[None]:
        """See ``Leases.setup``: the tables are shared by all studies of the database."""
        return self._critical("tables")

    def lock(self) -> AbstractContextManager[None]:
        """See ``Leases.lock``."""
        return self._critical(f"study {self._study}")

    def claim(self, number: int) -> bool:
        """See ``Leases.claim``. Raises ParetoError when the connection that holds the leases is lost."""
        if number in self.mine:
            return True
        if not self._lease("pg_try_advisory_lock", number):
            return False
        self.mine.add(number)
        return True

    def release(self, number: int) -> None:
        """See ``Leases.release``. Raises as ``claim`` does."""
        self.mine.remove(number)
        self._lease("pg_advisory_unlock", number)

    def close(self) -> None:
        """See ``Leases.close``."""
        import psycopg

        self.mine.clear()
        # The server takes its time to notice a session's end; one that is lost has freed them already.
        with suppress(psycopg.OperationalError):
            self._session.execute("select pg_advisory_unlock_all()")
        _drop(self._session)

    @contextmanager
    def _critical(self, scope: str) -> Iterator[None]:
        # A session of its own: within one session advisory locks do not exclude threads from each other.
        session = self._connect()
        try:
            self._ask(session, "select pg_advisory_lock(%s)", _key(scope, 8))
            yield
        finally:
            _drop(session)

    def _lease(self, function: LiteralString, number: int) -> bool:
        key = _key(f"lease {self._study}", 4)
        return bool(self._ask(self._session, f"select {function}(%s, %s)", key, number))

    def _ask(self, session: psycopg.Connection, query: LiteralString, *keys: int) -> object:
        import psycopg

        try:
            row = session.execute(query, keys).fetchone()
        except psycopg.OperationalError as e:
            raise self._unreachable(e) from None
        return row[0] if row else None

    def _connect(self) -> psycopg.Connection:
        try:
            import psycopg
        except ImportError:
            raise ParetoError(
                "a PostgreSQL storage needs psycopg; install it with: pip install 'pareto[postgres]'"
            ) from None

        # A server notices that a worker's machine is gone only by keepalives; its default is two hours.
        settings = {"tcp_keepalives_idle": 60, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 6}
        # Waiting for the lock and sitting on a lease are what these sessions are for.
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


def _key(scope: str, size: int) -> int:
    """A signed integer of ``size`` bytes that stands for a scope among all users of the database."""
    return int.from_bytes(hashlib.sha256(f"pareto {scope}".encode()).digest()[:size], "big", signed=True)


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
