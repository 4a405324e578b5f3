"""One driver per study, kept by SQLite and by a real PostgreSQL server alike."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid

import optuna
import psutil
import psycopg
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from pareto.errors import ParetoError
from pareto.store import driver_lease
from pareto.store.driver_lease import DriverLease, Fenced
from pareto.store.retrying import Interrupted
from pareto.store.run import Run
from pareto.store.study import StudyStore

NAMES = ("kind", "short")

OPEN = """
import os, signal, sys, time
import sqlalchemy as sa
from pareto.store.driver_lease import Fenced
from pareto.store.retrying import Interrupted, retrying
from pareto.store.run import Run
from pareto.store.study import StudyStore
store = StudyStore(Run.open(sys.argv[1]), None, ("kind", "short"))
ttl = float(sys.argv[2])
"""
LEAD = OPEN + "lease = store.lead(ttl)\nprint('leads', flush=True)\n"


@pytest.fixture(params=["sqlite", "postgres"])
def run(request, tmp_path, recipe) -> Run:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return Run.create(tmp_path, recipe.model_copy(update={"name": f"trip-{uuid.uuid4()}"}), url)


@pytest.fixture
def open_store(run):
    opened = []

    def open_store():
        opened.append(StudyStore(run, None, NAMES))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def lead_when_free(store, seconds=30):
    end = time.monotonic() + seconds
    while True:
        try:
            return store.lead(60)
        except Fenced:
            assert time.monotonic() < end, "never free"
            time.sleep(0.05)


def test_epochs_only_grow(open_store):
    epochs = []
    for _ in range(3):
        with open_store() as store:
            lease = DriverLease(store._storage.engine, store.study.study_name)
            epochs += [lease.take(), lease.take()]
            lease.release()
    assert epochs == [1, 1, 2, 2, 3, 3]


def test_a_second_driver_is_told_who_leads_and_what_to_do(open_store):
    one, two = open_store(), open_store()
    one.lead(60)
    with pytest.raises(Fenced) as told:
        two.lead()
    said = str(told.value)
    assert isinstance(told.value, ParetoError)
    assert f"another driver (host {os.uname().nodename}, pid {os.getpid()}) leads study '" in said
    assert f"since {time.strftime('%Y-%m-%d ')}" in said
    assert "end it there and start again" in said
    assert "\n" not in said
    two.study.ask()  # whoever never led is not fenced off: `pareto study` writes too
    one.close()
    assert two.lead() is not None


def test_a_lease_that_is_not_renewed_passes_on_and_its_holder_is_refused(open_store):
    one, two = open_store(), open_store()
    lease = one.lead(0.2)
    trial = one.study.ask()
    time.sleep(0.3)
    lease.check()  # late, but nobody has taken over
    one.study.set_user_attr("late", 1)
    two.lead(60)
    refused = (
        lease.check,
        lease.renew,
        one.study.ask,
        lambda: one.study.tell(trial, [1.0, 2.0]),
        lambda: one.set_attr("frame", 1),
        lambda: trial.set_user_attr("se", 1),
        lambda: trial.suggest_float("w", 0, 1),
        lambda: one.study.add_trial(optuna.create_trial(values=[1.0, 2.0])),
    )
    before = two.study.get_trials()
    for act in refused:
        with pytest.raises(Fenced, match=f"pid {os.getpid()}"):
            act()
    assert two.study.get_trials() == before
    assert two.study.user_attrs.keys() == {"recipe_hash", "late"}
    assert len(one.study.trials) == 1, "it may still read"
    lease.release()
    two.study.tell(trial.number, [1.0, 2.0])  # what the fenced one released was not the successor's


def test_renewing_keeps_the_lease_and_asks_the_database_seldom(open_store):
    one, two = open_store(), open_store()
    lease = one.lead(1.0)
    end = time.monotonic() + 1.6
    while time.monotonic() < end:
        lease.renew()
        time.sleep(0.02)
    with pytest.raises(Fenced):
        two.lead()


def test_a_killed_driver_of_this_host_is_replaced_at_once(open_store, run, start):
    driver = start(LEAD + "store.study.ask()\nprint('asked', flush=True)\ntime.sleep(600)", run.path, 3600)
    assert [driver.stdout.readline() for _ in range(2)] == ["leads\n", "asked\n"]
    store = open_store()
    with pytest.raises(Fenced, match=f"pid {driver.pid}"):
        store.lead()
    driver.send_signal(signal.SIGKILL)
    while psutil.Process(driver.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    began = time.monotonic()
    store.lead()  # also while nobody has waited for the dead one
    assert time.monotonic() - began < 5
    adopted = store.ask(lambda: pytest.fail("a trial is running already"), ())
    assert (adopted.number, adopted.state) == (0, TrialState.RUNNING)


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ({}, False),
        ({"pid": 2**22 + 1}, True),
        ({"started": -100.0}, True),  # the pid belongs to another process by now
        ({"pid": 2**22 + 1, "place": "another machine, or this one before it was started anew"}, False),
    ],
)
def test_only_a_process_of_this_very_machine_is_known_to_be_dead(change, dead):
    holder = json.loads(driver_lease._this_process()) | change
    assert driver_lease._is_dead(json.dumps(holder)) == dead


def test_of_drivers_that_start_at_once_exactly_one_leads(open_store):
    stores, together, ended = [open_store() for _ in range(3)], threading.Barrier(3), []

    def start(store):
        together.wait()
        try:
            store.lead(60)
            ended.append("leads")
        except Fenced:
            ended.append("refused")

    threads = [threading.Thread(target=start, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["leads", "refused", "refused"]


def test_nobody_takes_over_between_a_drivers_look_and_its_commit(open_store):
    one, two = open_store(), open_store()
    lease, engine = one.lead(60), one._storage.engine
    successor, waited = threading.Thread(target=two.lead), []

    def executed(connection, cursor, statement, *_):
        if statement.startswith("INSERT INTO trials"):
            connection.info["makes a trial"] = True

    def committing(connection):
        if connection.info.pop("makes a trial", False) and not waited:
            successor.start()
            successor.join(0.5)
            waited.append(successor.is_alive())

    lease.release()  # from now on anybody may take over
    sa.event.listen(engine, "after_cursor_execute", executed)
    sa.event.listen(engine, "commit", committing)  # after the guard's look
    frozen = optuna.create_trial(state=TrialState.RUNNING)
    one.study._storage.create_new_trial(one.study._study_id, frozen)
    successor.join()
    assert waited == [True]
    with pytest.raises(Fenced):
        one.study.ask()
    assert [t.number for t in two.study.trials] == [0]


STOPS = """
trial = store.study.ask()
os.kill(os.getpid(), signal.SIGSTOP)
try:
    store.tell(trial.number, lambda: store.study.tell(trial, [0.0, 0.0]))
except Fenced:
    print("fenced", flush=True)
"""


def test_a_driver_stopped_for_longer_than_its_lease_wakes_up_to_a_refusal(open_store, run, start):
    driver = start(LEAD + STOPS, run.path, 0.5)
    assert driver.stdout.readline() == "leads\n"
    while psutil.Process(driver.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    store = open_store()
    lead_when_free(store)
    driver.send_signal(signal.SIGCONT)
    assert driver.stdout.readline() == "fenced\n"
    assert [t.state for t in store.study.trials] == [TrialState.RUNNING]
    store.study.tell(0, [1.0, 1.0])


STOPS_IN_A_TRANSACTION = """
def stop(connection):
    print("within", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)

sa.event.listen(store._storage.engine, "commit", stop)  # after the guard has looked, before the commit is sent
try:
    store.study.ask()
except Interrupted:
    print("interrupted", flush=True)
sa.event.remove(store._storage.engine, "commit", stop)
try:
    store.ask(store.study.ask, ())
except Fenced:
    print("fenced", flush=True)
"""


def test_a_driver_stopped_between_the_look_and_the_commit_blocks_nobody_and_commits_nothing(
    tmp_path, recipe, postgres_database, start
):
    run = Run.create(tmp_path, recipe, postgres_database)
    driver = start(LEAD + STOPS_IN_A_TRANSACTION, run.path, 1)
    assert [driver.stdout.readline() for _ in range(2)] == ["leads\n", "within\n"]
    with StudyStore(run, None, NAMES) as store:
        lead_when_free(store)
        assert store.study.trials == []
        driver.send_signal(signal.SIGCONT)
        assert [driver.stdout.readline() for _ in range(2)] == ["interrupted\n", "fenced\n"]
        assert store.study.trials == []


def test_a_connection_that_breaks_in_a_transaction_is_told_as_such(tmp_path, recipe, postgres_database):
    run = Run.create(tmp_path, recipe, postgres_database)
    with StudyStore(run, None, NAMES) as store:
        store.lead()
        with store._storage.engine.connect() as connection, psycopg.connect(postgres_database) as admin:
            (pid,) = connection.exec_driver_sql("select pg_backend_pid()").one()
            admin.execute("select pg_terminate_backend(%s, 5000)", [pid])
            with pytest.raises(Interrupted):
                connection.exec_driver_sql("select 1")
        assert store.study.ask().number == 0


def test_a_forked_child_does_not_talk_over_its_parents_connections(tmp_path, recipe, postgres_database, start):
    run = Run.create(tmp_path, recipe, postgres_database)
    code = """
def session():
    with store._storage.engine.connect() as connection:
        return connection.exec_driver_sql("select pg_backend_pid()").scalar()

mine = session()
assert session() == mine, "it is kept"
if os.fork() == 0:
    print(session() != mine, flush=True)
    os._exit(0)
os.wait()
print(session() == mine, flush=True)
"""
    process = start(LEAD + code, run.path, 60)
    assert process.stdout.readline() == "leads\n"
    assert [process.stdout.readline() for _ in range(2)] == ["True\n", "True\n"]


def test_a_database_in_which_no_table_may_be_made_is_told_in_one_line(tmp_path, recipe, postgres_database):
    run = Run.create(tmp_path, recipe, postgres_database)
    StudyStore(run, None, NAMES).close()
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("drop role if exists reader")
        admin.execute("create role reader login")
        admin.execute("grant all on all tables in schema public to reader")
        admin.execute("grant all on all sequences in schema public to reader")
    with (
        StudyStore(run, postgres_database.replace("postgres@", "reader@"), NAMES) as store,
        pytest.raises(ParetoError, match="cannot be used as a study's storage: permission denied for schema") as told,
    ):
        store.lead()
    assert "\n" not in str(told.value)
