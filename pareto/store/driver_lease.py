"""One driver per study, by a row in the study's own database: who leads, in which epoch, until when.

The database's clock decides, so clocks that disagree do no harm, and a restart of the database frees nothing. An epoch
belongs to one driver and only grows. Whoever was stopped for longer than its lease may wake up in the middle of
anything: so every transaction that writes through a guarded engine ends with a look at the row, under a lock that
keeps a successor out until the commit, and is rolled back where the epoch is no longer its own.

Leslie Lamport's and others' fencing tokens, as in M. Kleppmann, "How to do distributed locking" (2016).
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pareto.errors import ParetoError
from pareto.store.retrying import Interrupted, transient

TTL = 30.0
"""Seconds for which a driver leads after it last said so."""
_UNGUARDED = "pareto_unguarded"
_WRITES = "pareto_writes"

_TABLE = sa.Table(
    "pareto_drivers",
    sa.MetaData(),
    sa.Column("study", sa.String(512), primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)


class Fenced(ParetoError):
    """Another driver leads the study."""


class _Lead(NamedTuple):
    """A row, and the database's clock when it was read; seconds since 1970."""

    epoch: int
    holder: str
    since: float
    until: float
    now: float


class DriverLease:
    """This process's claim to be the one driver of a study."""

    def __init__(self, engine: sa.Engine, study: str):
        """Nothing is claimed yet.

        Args:
            engine: of the study's database, SQLite or PostgreSQL.
            study: its name.
        """
        self._engine = engine
        self._study = study
        self._me = _this_process()
        self._epoch = 0
        self._ttl = TTL
        self._renewed = 0.0
        sqlite_file = engine.dialect.name == "sqlite"
        self._clock: sa.ColumnElement[float] = (
            (sa.func.julianday("now") - 2440587.5) * 86400.0
            if sqlite_file
            # Not now(): that is when the transaction began, maybe before a long wait for the row.
            else sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)
        )
        self._insert = sqlite.insert if sqlite_file else postgresql.insert

    def take(self, ttl: float = TTL) -> int:
        """Become the driver; what this lease took already it keeps.

        Free is what nobody has, what was not renewed in time, and at once what a dead process of this host has.

        Args:
            ttl: seconds until another one may take over, counted from here and from each ``renew``.

        Returns:
            The epoch, larger than any before.

        Raises:
            Fenced: another driver leads.
            sqlalchemy.exc.SQLAlchemyError: the database's own errors; safe to repeat.
        """
        self._ttl = ttl
        self._prepare()
        while (lead := self._read()).holder != self._me:
            dead = _is_dead(lead.holder)
            if lead.until > lead.now and not dead:
                raise Fenced(self._told(lead))
            free = _TABLE.c.epoch == lead.epoch
            if not dead:
                free &= _TABLE.c.until <= self._clock
            self._update(free, epoch=lead.epoch + 1, holder=self._me, since=self._clock, until=self._clock + ttl)
        self._epoch = lead.epoch
        self._extend()
        return self._epoch

    def renew(self) -> None:
        """Lead for another ``ttl`` seconds; also when they were over and nobody has taken over.

        Cheap to call often: a third of ``ttl`` passes before the database is asked again.

        Raises:
            Fenced: another driver leads.
        """
        if time.monotonic() - self._renewed >= self._ttl / 3:
            self._extend()

    def check(self) -> None:
        """Raise Fenced when another driver leads."""
        lead = self._read()
        if lead.epoch != self._epoch:
            raise Fenced(self._told(lead))

    def release(self) -> None:
        """Let another one take over at once; where the database does not answer, the lease ends by itself."""
        with suppress(Fenced, Interrupted, sa.exc.SQLAlchemyError):
            self._update(self._own(), until=0.0)

    def guard(self) -> None:
        """From now on nothing reaches the database through the engine while another driver leads.

        A transaction that writes raises Fenced instead of being committed. One that the database breaks off raises
        ``Interrupted``: Optuna would repeat it without asking whether it was committed. On PostgreSQL the server ends
        a session that stops in mid-transaction for ``ttl`` seconds, so that a stopped driver blocks nobody; an SQLite
        file stays locked until the stopped process goes on or is killed.
        """
        limit = f"set idle_in_transaction_session_timeout = {max(1, round(1000 * self._ttl))}"

        def connected(connection: Any, _record: object) -> None:
            connection.execute(limit)
            connection.commit()

        def begun(connection: sa.Connection) -> None:
            # The transaction before it on this connection may have been rolled back.
            connection.info.pop(_WRITES, None)

        def executed(connection: sa.Connection, *seen: Any) -> None:
            context = seen[3]
            writes = context is not None and (context.isinsert or context.isupdate or context.isdelete)
            if writes and not connection.get_execution_options().get(_UNGUARDED):
                connection.info[_WRITES] = True

        def committing(connection: sa.Connection) -> None:
            if connection.info.pop(_WRITES, False):
                mine = sa.select(_TABLE.c.epoch).where(self._own()).with_for_update(read=True)
                if connection.execute(mine).first() is None:
                    raise Fenced(self._told(self._lead_in(connection)))

        def failed(context: sa.engine.ExceptionContext) -> None:
            # SQLAlchemy's look before a connection is used: it replaces a broken one by itself.
            if not context.is_pre_ping and (context.is_disconnect or transient(context.original_exception)):
                raise Interrupted(str(context.original_exception)) from context.original_exception

        if self._engine.dialect.name == "postgresql":
            sa.event.listen(self._engine, "connect", connected)
        sa.event.listen(self._engine, "begin", begun)
        sa.event.listen(self._engine, "after_cursor_execute", executed)
        sa.event.listen(self._engine, "commit", committing)
        sa.event.listen(self._engine, "handle_error", failed)
        self._engine.dispose()

    def _prepare(self) -> None:
        """Make the table and the study's row, where they are not there yet."""
        row = self._insert(_TABLE).values(study=self._study, epoch=0, holder="", since=0.0, until=0.0)
        try:
            _TABLE.create(self._engine, checkfirst=True)
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.OperationalError):
            # Of two that make it at once the second one hears of it, and finds it made.
            if not sa.inspect(self._engine).has_table(_TABLE.name):
                raise
        with self._engine.begin() as connection:
            connection.execute(row.on_conflict_do_nothing())

    def _extend(self) -> None:
        asked = time.monotonic()
        if not self._update(self._own(), until=self._clock + self._ttl):
            raise Fenced(self._told(self._read()))
        self._renewed = asked

    def _own(self) -> sa.ColumnElement[bool]:
        return (_TABLE.c.epoch == self._epoch) & (_TABLE.c.study == self._study)

    def _update(self, where: sa.ColumnElement[bool], **values: Any) -> bool:
        """Whether the study's row was as it had to be, and is changed."""
        change = _TABLE.update().where(_TABLE.c.study == self._study, where).values(**values)
        with self._engine.begin() as connection:
            # Its own condition is its guard.
            return connection.execution_options(**{_UNGUARDED: True}).execute(change).rowcount == 1

    def _read(self) -> _Lead:
        with self._engine.connect() as connection:
            return self._lead_in(connection)

    def _lead_in(self, connection: sa.Connection) -> _Lead:
        columns = (_TABLE.c.epoch, _TABLE.c.holder, _TABLE.c.since, _TABLE.c.until, self._clock)
        row = connection.execute(sa.select(*columns).where(_TABLE.c.study == self._study)).one()
        return _Lead(*row)

    def _told(self, lead: _Lead) -> str:
        holder, since = json.loads(lead.holder), datetime.fromtimestamp(lead.since).astimezone()
        return (
            f"another driver (host {holder['host']}, pid {holder['pid']}) leads study '{self._study}' since "
            f"{since:%Y-%m-%d %H:%M:%S %z}; let it finish, or end it there and start again: if it cannot be reached, "
            f"its lease ends {max(0.0, lead.until - lead.now):.0f} s from now"
        )


def _this_process() -> str:
    me = psutil.Process()
    who = {"host": socket.gethostname(), "place": _place(), "pid": me.pid, "started": _started(me)}
    return json.dumps(who | {"lease": uuid.uuid4().hex})


def _place() -> str:
    """Where a pid means the same process: this boot of this machine, and its container. Names of hosts repeat."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return str(uuid.getnode())
    return f"{boot.read_text().strip()} {os.readlink('/proc/self/ns/pid')}"


def _started(process: psutil.Process) -> float:
    """Seconds from the machine's boot: a clock that is set must not make another process of it."""
    seconds: float = process.create_time() - psutil.boot_time()
    return seconds


def _is_dead(holder: str) -> bool:
    """Whether a row's holder is nobody, or a process of this very machine that is no more."""
    if not holder:
        return True
    told = json.loads(holder)
    if told["place"] != _place():
        return False
    try:
        process = psutil.Process(told["pid"])
        # The time of the boot is read in whole seconds, which may change from one look to the next.
        another = abs(_started(process) - told["started"]) > 2
        ended: bool = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    return another or ended
