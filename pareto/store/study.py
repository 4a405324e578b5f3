"""The run's Optuna study: every trial of every driver is in it, and no trial is worked on twice."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import optuna
import sqlalchemy.exc
from optuna.trial import TrialState
from sqlalchemy.pool import NullPool

from pareto.errors import ParetoError
from pareto.store.address import driver_url, scrubbed, shown
from pareto.store.leases import FileLeases, Leases, PostgresLeases
from pareto.store.run import Run

BUSY_SECONDS = 60
"""How long a write to SQLite waits for another process's."""


class StudyStore:
    """The study of a run, in SQLite in its folder or in PostgreSQL, with the leases on its trials.

    A context manager; on leaving, the leases are given back.
    """

    study: optuna.Study
    """One maximised direction per objective, named metrics."""

    def __init__(self, run: Run, storage_url: str | None, names: tuple[str, ...]):
        """Open the study that is named after the run, or make it.

        Args:
            run: the run.
            storage_url: address of a PostgreSQL database; ``None`` for where the run keeps its study (then without a
                password: ``PGPASSWORD`` and ``~/.pgpass`` work).
            names: the objectives, shape (m,).

        Raises:
            ParetoError: when the storage cannot be reached or read, or holds another recipe's study of that name.
        """
        url = storage_url or run.storage
        self._where = f"storage {shown(url)}" if url else str(run.path / "study.db")
        self._leases: Leases = PostgresLeases(url, run.name) if url else FileLeases(run.path)
        try:
            with self._leases.setup():
                self._storage = _storage(run, url)
                self.study = self._open_study(run, names)
        except BaseException as e:
            self._leases.close()
            if isinstance(e, sqlalchemy.exc.SQLAlchemyError | optuna.exceptions.OptunaError | RuntimeError):
                cause = str(getattr(e, "orig", None) or e.__cause__ or e)
                message = scrubbed(cause, url) if url else cause
                raise ParetoError(f"{self._where}: cannot be used as a study's storage: {message}") from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back the leases."""
        self._leases.close()

    def lock(self) -> AbstractContextManager[None]:
        """Critical section of the study, across processes and threads; waits, not reentrant. Freed on death."""
        return self._leases.lock()

    def claim(self, number: int) -> bool:
        """Lease a trial to this process for as long as it lives; False when another live process holds it."""
        return self._leases.claim(number)

    def release(self, number: int) -> None:
        """Give back the lease on a trial that this process holds."""
        self._leases.release(number)

    def holds(self, number: int) -> bool:
        """Whether this process has the lease on a trial."""
        return number in self._leases.mine

    def orphans(self) -> list[int]:
        """Running trials on which nobody holds a lease (their worker was killed), lowest first.

        To be called under ``lock``, as ask and ``claim`` are together: it takes each lease for a moment.
        """
        free = {n for n in self._running() if n not in self._leases.mine and self.claim(n)}
        # Workers finish trials outside the lock: one may have told its result and left since the first look.
        found = free & self._running()
        for number in free:
            self.release(number)
        return sorted(found)

    def attr(self, name: str) -> Any:
        """A user attribute of the study (plain data); ``None`` when it is not set."""
        return self.study.user_attrs.get(name)

    def set_attr(self, name: str, value: Any) -> None:
        """Set a user attribute of the study to plain data."""
        self.study.set_user_attr(name, value)

    def _running(self) -> set[int]:
        return {t.number for t in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}

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
    if url:
        address = driver_url(url).replace("postgresql://", "postgresql+psycopg://", 1)
        waits = {"connect_timeout": 10}
    else:
        # Optuna fills {…} in addresses; a folder's name may hold braces.
        address = f"sqlite:///{run.path / 'study.db'}".replace("{", "{{").replace("}", "}}")
        waits = {"timeout": BUSY_SECONDS}
    # No pool: trials are minutes apart, and forked data-loading workers must not inherit an open connection.
    return optuna.storages.RDBStorage(address, engine_kwargs={"poolclass": NullPool, "connect_args": waits})
