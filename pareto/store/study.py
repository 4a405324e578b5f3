"""The run's Optuna study: every trial of every driver is in it, and no trial is worked on twice."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Literal, Self
from weakref import WeakSet

import optuna
import sqlalchemy.exc
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import Engine
from sqlalchemy.pool import NullPool

from pareto.errors import ParetoError
from pareto.store.address import driver_url, scrubbed, shown
from pareto.store.driver_lease import TTL, DriverLease, Fenced
from pareto.store.leases import FileLeases, PostgresLock
from pareto.store.retrying import Answer, Interrupted, awaking, retrying
from pareto.store.run import Run

BUSY_SECONDS = 60
"""How long a write to SQLite waits for another process's."""


class StudyStore:
    """The study of a run, in SQLite in its folder or in PostgreSQL, and the lead of it.

    Its methods wait out an outage of the database. A context manager; on leaving, the lead is given back.
    """

    study: optuna.Study
    """One maximised direction per objective, named metrics."""

    def __init__(
        self,
        run: Run,
        storage_url: str | None,
        names: tuple[str, ...],
        say: Callable[[str], object] = lambda line: None,
    ):
        """Open the study that is named after the run, or make it.

        Args:
            run: the run.
            storage_url: address of a PostgreSQL database; ``None`` for where the run keeps its study (then without a
                password: ``PGPASSWORD`` and ``~/.pgpass`` work).
            names: the objectives, shape (m,).
            say: told in one line that the database does not answer, and that it does again.

        Raises:
            ParetoError: when the storage cannot be reached or read, or holds another recipe's study of that name; safe
                to repeat.
        """
        self._url = url = storage_url or run.storage
        self._where = f"storage {shown(url)}" if url else str(run.path / "study.db")
        self._leaving, self._say = ExitStack(), say
        self._lease: DriverLease | None = None
        # The tables are shared by all studies of a database.
        making = PostgresLock(url, "tables") if url else FileLeases(run.path)
        try:
            with self._usable(), making.lock():
                self._storage = _storage(run, url)
                self._leaving.callback(self._storage.engine.dispose)
                self.study = self._open_study(run, names)
        except BaseException:
            self.close()
            raise

    @classmethod
    def waited_for(
        cls, run: Run, storage_url: str | None, say: Callable[[str], object], *, new: bool = False
    ) -> StudyStore:
        """Open it as soon as the database answers.

        Args:
            run: the run.
            storage_url: see ``StudyStore``.
            say: see ``StudyStore``.
            new: the address may be wrong: a database that does not answer at all is not waited for.

        Raises:
            ParetoError: see ``StudyStore``.
        """

        def opened() -> StudyStore:
            return cls(run, storage_url, run.recipe.names, say)

        if new:
            try:
                return opened()
            except ParetoError as e:
                if not awaking(e):
                    raise
        return retrying(opened, say)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back the lead, and let go of the database."""
        self._leaving.close()

    def lead(self, ttl: float = TTL) -> DriverLease:
        """Become the study's one driver until ``close``: from now on it refuses this process's writes once fenced.

        Args:
            ttl: seconds after which another driver may take over from one that no longer renews the lease.

        Raises:
            Fenced: another driver leads.
            ParetoError: when the storage cannot be reached or written.
        """
        self._lease = lease = DriverLease(self._storage.engine, self.study.study_name)

        def take() -> None:
            with self._usable():
                lease.take(ttl)

        self.read(take)
        self._leaving.callback(lease.release)
        lease.guard()
        return lease

    @contextmanager
    def leading(self, ttl: float = TTL) -> Iterator[None]:
        """``lead`` and go on leading inside, however long something takes."""
        lease, over = self.lead(ttl), threading.Event()

        def renew() -> None:
            while not over.wait(ttl / 3):
                # A database that is away may be back in time; a driver that is fenced hears of it at its next write.
                with suppress(Fenced, Interrupted, sqlalchemy.exc.SQLAlchemyError):
                    lease.renew()

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def ask(self, propose: Callable[[], Trial | None], mine: Collection[int]) -> Trial | FrozenTrial | None:
        """The next trial to work on: a running one that nobody knows, or a new one.

        Args:
            propose: puts a new trial into the study, RUNNING; ``None`` when there is none now.
            mine: numbers of the running trials that are worked on.
        """

        def unknown() -> FrozenTrial | None:
            # Of a driver that was killed, or of this one's ask whose answer was lost.
            running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            return next((t for t in running if t.number not in mine), None)

        return self.read(lambda: unknown() or propose())

    def tell(self, number: int, write: Callable[[], None]) -> None:
        """Finish a running trial.

        Args:
            number: the trial's.
            write: tells the study; when it is interrupted it is called again, unless the trial is finished.

        Raises:
            Fenced: another driver leads.
        """

        def finished() -> Literal[True] | None:
            return True if self.study.get_trials(deepcopy=False)[number].state.is_finished() else None

        def once() -> Literal[True]:
            try:
                write()
            except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
                if self._lease is not None:  # a successor may have finished it, while this process stood still
                    self._lease.check()
                raise
            return True

        retrying(once, self._say, found=finished)

    def read(self, look: Callable[[], Answer]) -> Answer:
        """Look into the study."""
        return retrying(look, self._say)

    def attr(self, name: str) -> Any:
        """A user attribute of the study (plain data); ``None`` when it is not set."""
        return self.read(lambda: self.study.user_attrs.get(name))

    def set_attr(self, name: str, value: Any) -> None:
        """Set a user attribute of the study to plain data."""
        self.read(lambda: self.study.set_user_attr(name, value))

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """What the storage refuses, in one line."""
        try:
            yield
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError) as e:
            cause = str(getattr(e, "orig", None) or e.__cause__ or e)
            message = scrubbed(cause, self._url) if self._url else cause
            raise ParetoError(f"{self._where}: cannot be used as a study's storage: {message}") from None

    def _open_study(self, run: Run, names: tuple[str, ...]) -> optuna.Study:
        known = optuna.get_all_study_names(self._storage)
        if run.name in known:
            study = optuna.load_study(study_name=run.name, storage=self._storage)
            made_by = study.user_attrs.get("recipe_hash")
            # A killed worker may have left a study without its mark, but then without trials too.
            if made_by != run.recipe_hash and (made_by is not None or study.get_trials(deepcopy=False)):
                raise ParetoError(f"{self._where}: holds a study '{run.name}' of another recipe; use another `name:`")
        else:
            said = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every new study on stderr
            study = optuna.create_study(
                study_name=run.name, storage=self._storage, directions=["maximize"] * len(names)
            )
            optuna.logging.set_verbosity(said)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(names))
        study.set_user_attr("recipe_hash", run.recipe_hash)
        return study


def _storage(run: Run, url: str | None) -> optuna.storages.RDBStorage:
    """The storage with its tables made; its engine is to be disposed of."""
    if not url:
        # Optuna fills {…} in addresses; a folder's name may hold braces.
        address = f"sqlite:///{run.path / 'study.db'}".replace("{", "{{").replace("}", "}}")
        # A forked child that closes an inherited connection to an SQLite file would free its parent's locks.
        kept = {"poolclass": NullPool, "connect_args": {"timeout": BUSY_SECONDS}}
        return optuna.storages.RDBStorage(address, engine_kwargs=kept)
    address = driver_url(url).replace("postgresql://", "postgresql+psycopg://", 1)
    # Where the tables cannot be made, Optuna leaves a pool behind that nobody can close.
    optuna.storages.RDBStorage(address, engine_kwargs={"poolclass": NullPool, "connect_args": _WAITS})
    # A connection for each transaction made a trial three to four times slower. A restart of the server breaks those
    # that are kept: each is tried before it is used.
    storage = optuna.storages.RDBStorage(
        address,
        engine_kwargs={"pool_pre_ping": True, "connect_args": _WAITS},
        skip_table_creation=True,
        skip_compatibility_check=True,
    )
    _POOLED.add(storage.engine)
    return storage


_WAITS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""After how long a connection to a server whose machine is gone breaks; the system's own defaults are hours."""
_POOLED: WeakSet[Engine] = WeakSet()


def _forget_inherited() -> None:
    # A forked data-loading worker would talk in its parent's name over the connections that the parent keeps.
    for engine in _POOLED:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_inherited)
