"""A database that comes and goes: what is tried again, what is said, and that nothing is done twice."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections import Counter

import optuna
import psycopg
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from pareto.bench.scale.faults.database import Server
from pareto.errors import ParetoError
from pareto.store import retrying as module
from pareto.store.driver_lease import DriverLease, Fenced
from pareto.store.retrying import Interrupted, retrying, transient
from pareto.store.run import Run
from pareto.store.study import StudyStore

SPACE = {"w": optuna.distributions.FloatDistribution(0, 1)}


class Clock:
    """Time that only passes in pauses."""

    now = 0.0

    def __init__(self):
        self.pauses = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def failing(times, error, answer="done"):
    left = iter(range(times))

    def action():
        if next(left, None) is not None:
            raise error
        return answer

    return action


def locked():
    return sa.exc.OperationalError("update …", {}, sqlite3.OperationalError("database is locked"))


def test_what_works_at_once_is_done_once_and_in_silence(clock):
    said = []
    assert retrying(lambda: 7, said.append) == 7
    assert (said, clock.pauses) == ([], [])


def test_an_outage_is_said_once_and_its_end_once(clock):
    said = []
    assert retrying(failing(6, locked()), said.append) == "done"
    begun, ended = said
    assert begun == "the study's database does not answer (database is locked); trying again for up to 120 s"
    assert ended == f"the study's database answers again after {sum(clock.pauses):.1f} s"


def test_pauses_grow_to_a_limit_and_are_not_the_same_for_all(clock):
    retrying(failing(40, locked()), lambda _: None)
    for i, pause in enumerate(clock.pauses):
        most = min(0.1 * 2**i, 2.0)
        assert most / 2 <= pause <= most
    assert len(set(clock.pauses)) > 30


def test_patience_ends_in_one_line(clock):
    with pytest.raises(ParetoError, match=r"did not answer for 5 s \(database is locked\); nothing is lost") as told:
        retrying(failing(10**6, locked()), lambda _: None, patience=5)
    assert clock.now == pytest.approx(5)
    assert "\n" not in str(told.value)


def test_what_an_earlier_try_brought_about_is_not_done_again(clock):
    made = []

    def action():
        made.append(1)
        raise Interrupted("server closed the connection")

    assert retrying(action, lambda _: None, found=lambda: len(made) or None) == 1
    assert made == [1]


@pytest.mark.parametrize(
    "error", [ValueError("no"), ParetoError("no"), Fenced("no"), KeyError("w"), sa.exc.ArgumentError("no")]
)
def test_errors_that_are_not_the_databases_pass_at_once(clock, error):
    said = []
    with pytest.raises(type(error)):
        retrying(failing(1, error), said.append)
    assert (said, clock.pauses) == ([], [])


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (sqlite3.OperationalError("database is locked"), True),
        (sqlite3.OperationalError("database table is locked"), True),
        (sqlite3.OperationalError("database or disk is full"), False),
        (sqlite3.OperationalError("no such table: trials"), False),
        (psycopg.errors.AdminShutdown("x"), True),
        (psycopg.errors.CannotConnectNow("x"), True),
        (psycopg.errors.DeadlockDetected("x"), True),
        (psycopg.errors.SerializationFailure("x"), True),
        (psycopg.errors.TooManyConnections("x"), True),
        (psycopg.errors.IdleInTransactionSessionTimeout("x"), True),
        (psycopg.errors.DiskFull("x"), False),
        (psycopg.errors.UniqueViolation("x"), False),
        (psycopg.errors.InsufficientPrivilege("x"), False),
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (psycopg.OperationalError('FATAL:  password authentication failed for user "a"'), False),
        (psycopg.OperationalError('FATAL:  database "lab" does not exist'), False),
        (psycopg.InterfaceError("the connection is closed"), True),
        (psycopg.ProgrammingError("x"), False),
    ],
)
def test_which_of_the_databases_errors_pass(error, again):
    assert transient(error) == again
    assert transient(sa.exc.DBAPIError("select 1", {}, error)) == again
    wrapped = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    wrapped.__cause__ = sa.exc.OperationalError("select 1", {}, error)
    assert transient(wrapped) == again


def test_who_starts_while_the_server_awakes_waits_and_who_has_a_wrong_address_does_not(server, served, monkeypatch):
    refusals = iter(["the database system is starting up", "the database system is not yet accepting connections"])
    connect = psycopg.connect

    def refusing(*args, **kwargs):
        if refusal := next(refusals, None):
            raise psycopg.OperationalError(f"connection failed: FATAL:  {refusal}")
        return connect(*args, **kwargs)

    monkeypatch.setattr(psycopg, "connect", refusing)
    said = []
    StudyStore.waited_for(served, None, said.append, new=True).close()
    assert next(refusals, None) is None
    assert "starting up" not in said[0]  # the first refusal was not said: only what came after it
    assert "not yet accepting" in said[0]
    nowhere = "postgresql://postgres@127.0.0.1:1/none"
    with pytest.raises(ParetoError, match="refused"):
        StudyStore.waited_for(served, nowhere, said.append, new=True)


def test_the_stores_own_line_about_an_outage_is_an_outage():
    def told_in_one_line():
        try:
            raise psycopg.errors.AdminShutdown("terminating connection")
        except psycopg.Error as e:
            raise ParetoError(f"storage: {e}") from None

    with pytest.raises(ParetoError) as told:
        told_in_one_line()
    assert transient(told.value)


# -- a real server, stopped and started in the middle of everything --------------------------------------------------


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture
def served(server, tmp_path, recipe):
    return Run.create(tmp_path, recipe.model_copy(update={"name": f"trip-{uuid.uuid4()}"}), server.url)


def open_store(run, say=str):
    return StudyStore(run, None, ("kind", "short"), say)


def test_fifty_trials_survive_restarts_of_the_server_none_lost_none_twice(server, served):
    over = threading.Event()

    def restart():
        modes = ["immediate", "fast"]
        while not over.wait(0.4) and modes:
            server.stop(modes.pop())
            time.sleep(0.3)
            server.start()

    told, said = {}, []
    with open_store(served, said.append) as store:
        store.lead()
        thread = threading.Thread(target=restart)
        thread.start()
        try:
            while len(told) < 50 or thread.is_alive():
                trial = store.ask(lambda: store.study.ask(SPACE), told)
                values = [float(trial.number), 1.0]
                store.tell(trial.number, lambda t=trial.number, v=values: store.study.tell(t, v) and None)
                assert trial.number not in told
                told[trial.number] = values
        finally:
            over.set()
            thread.join()
        trials = store.study.get_trials()
    assert said, "the server was away, and nobody noticed"
    assert all("does not answer" in line or "answers again" in line for line in said)
    assert len(said) % 2 == 0
    assert Counter(t.state for t in trials) == {TrialState.COMPLETE: len(told)}
    assert {t.number: t.values for t in trials} == told


@pytest.fixture
def said():
    return []


@pytest.fixture
def store(said, tmp_path, recipe, postgres_url):
    run = Run.create(tmp_path, recipe.model_copy(update={"name": f"trip-{uuid.uuid4()}"}), postgres_url)
    with open_store(run, said.append) as store:
        yield store


def lose_the_answer(store, monkeypatch):
    """The next commit is made, and its connection breaks before the answer has come."""
    engine = store._storage.engine
    commit, written = engine.dialect.do_commit, []

    def executed(connection, cursor, statement, *_):
        if statement.startswith(("INSERT", "UPDATE")):
            written.append(statement)

    def committed_and_lost(connection):
        commit(connection)
        if written:
            sa.event.remove(engine, "after_cursor_execute", executed)
            written.clear()
            connection.dbapi_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    sa.event.listen(engine, "after_cursor_execute", executed)
    monkeypatch.setattr(engine.dialect, "do_commit", committed_and_lost)


def created(store):
    frozen = optuna.create_trial(state=TrialState.RUNNING, params={"w": 0.5}, distributions=SPACE)
    store.study.add_trial(frozen)
    return store.study.get_trials(states=(TrialState.RUNNING,))[-1]


def test_a_trial_whose_making_was_not_answered_is_found_and_not_made_again(store, said, monkeypatch):
    store.lead()
    assert store.ask(lambda: None, ()) is None
    lose_the_answer(store, monkeypatch)
    trial = store.ask(lambda: created(store), ())
    assert len(said) == 2
    assert [t.number for t in store.study.get_trials()] == [trial.number]


def test_a_tell_that_was_not_answered_is_not_told_again(store, said, monkeypatch):
    store.lead()
    number = store.ask(lambda: created(store), ()).number
    lose_the_answer(store, monkeypatch)
    calls = []
    store.tell(number, lambda: (calls.append(1), store.study.tell(number, [1.0, 2.0]))[0])
    assert (len(calls), len(said)) == (1, 2)
    assert store.study.trials[number].values == [1.0, 2.0]
    with pytest.raises(ValueError, match="COMPLETE"):  # but the first try is the caller's own mistake
        store.tell(number, lambda: store.study.tell(number, [1.0, 2.0]) and None)


def test_sessions_that_the_server_ends_are_replaced(store):
    lease = store.lead()
    end_sessions(store)
    retrying(lease.check, str)
    trial = store.ask(lambda: created(store), ())
    end_sessions(store)
    store.tell(trial.number, lambda: store.study.tell(trial.number, [1.0, 2.0]) and None)
    assert store.study.trials[0].state == TrialState.COMPLETE


def end_sessions(store):
    url = store._storage.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                      " and backend_type = 'client backend'")  # fmt: skip


def test_a_restart_frees_nothing_and_exactly_one_proceeds(server, served):
    with open_store(served) as one, open_store(served) as two:
        lease = one.lead(60)
        other = DriverLease(two._storage.engine, served.name)
        with pytest.raises(Fenced):
            other.take()
        server.stop("immediate")
        server.start()
        with pytest.raises(Fenced):
            retrying(other.take, str)
        retrying(lease.check, str)
        assert one.ask(lambda: created(one), ()).number == 0
