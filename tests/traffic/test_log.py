"""The log of traffic: what is written is read, nothing is waited for, and no accident costs more than it must."""

from __future__ import annotations

import itertools
import json
import math
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic_on_disk import begun, empty_run, pair, scored, served, thumb

import pareto.traffic.losing
import pareto.traffic.tables
from pareto.errors import ParetoError
from pareto.store.run import Run
from pareto.traffic.log import FILE, TrafficLog, Unkept
from pareto.traffic.records import MOST_COMMENT, Served

NUMBERED = itertools.count()
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBER = st.floats(allow_infinity=False, allow_nan=False)
NUMBERS = st.dictionaries(TEXT, NUMBER, max_size=3)
REQUESTS = st.builds(
    Served,
    id=st.just(""),
    time=st.floats(0, 1e10),
    model=TEXT,
    arm=TEXT,
    user=TEXT,
    weights=st.none() | NUMBERS,
    coefficients=NUMBERS,
    point=st.none() | TEXT,
    moved=TEXT,
    prompt_tokens=st.integers(0, 10**6),
    tokens=st.integers(0, 10**6),
    n=st.integers(1, 16),
    finish=TEXT,
    queued=NUMBER,
    first_token=st.none() | NUMBER,
    seconds=NUMBER,
    status=st.integers(100, 599),
    prompt=st.none() | TEXT,
    answer=st.none() | TEXT,
    features=st.none(),
    turns=st.integers(1, 9),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrafficLog]:
    with begun(tmp_path_factory.mktemp("shared")) as log:
        yield log


@settings(max_examples=50)
@given(REQUESTS)
def test_a_request_is_read_as_it_was_written(shared: TrafficLog, request_: Served) -> None:
    request_ = replace(request_, id=str(next(NUMBERED)))
    assert shared.add(request_)
    assert request_ in shared.served()


def test_the_order_is_that_of_time_and_a_limit_takes_the_latest(log: TrafficLog) -> None:
    for id, at, arm in (("c", 3, "main"), ("a", 1, "main"), ("d", 4, "candidate"), ("b", 2, "candidate")):
        log.add(served(id, time=at, arm=arm))
    assert [s.id for s in log.served()] == ["a", "b", "c", "d"]
    assert [s.id for s in log.served(since=3)] == ["c", "d"]
    assert [s.id for s in log.served(arm="candidate")] == ["b", "d"]
    assert [s.id for s in log.served(limit=2)] == ["c", "d"]


def test_scores_are_read_as_they_were_written_the_last_ones(log: TrafficLog) -> None:
    log.add(served("a"))
    log.add_score(scored("a"))
    last = scored("a", scores={"vowels": 0.25, "digits": math.nan}, spreads={"vowels": 0.1}, flagged=("vowels",))
    log.add_score(last)
    (found,) = log.scores()
    assert math.isnan(found.scores["digits"])
    assert replace(found, scores={"vowels": found.scores["vowels"]}) == replace(last, scores={"vowels": 0.25})


def test_another_process_reads_what_is_written_while_the_log_is_open(log: TrafficLog, tmp_path: Path) -> None:
    log.add(served("a", prompt="Niamey \u2028 ü \x00 <b>", weights=None))
    log.flush()
    script = (
        "import json, sys; from pareto.store.run import Run; from pareto.traffic.log import TrafficLog\n"
        "with TrafficLog.open(Run.open(sys.argv[1])) as log: print(json.dumps([s.prompt for s in log.served()]))"
    )
    told = subprocess.run([sys.executable, "-c", script, tmp_path / "smoke"], capture_output=True, check=True)
    assert json.loads(told.stdout) == ["Niamey \u2028 ü \x00 <b>"]


def test_a_user_is_a_key_that_another_log_does_not_share(tmp_path: Path) -> None:
    with begun(tmp_path / "one") as one, begun(tmp_path / "two") as two:
        key = one.user_key("ann@example.org")
        assert len(key) == 64
        assert key == one.user_key("ann@example.org") != one.user_key("bob@example.org")
        assert key != two.user_key("ann@example.org")
        assert one.user_key("") == ""
        one.add(served("a", user=key))
    with TrafficLog.open(Run.open(tmp_path / "one" / "smoke")) as again:
        assert again.user_key("ann@example.org") == key
    assert b"ann@example" not in (tmp_path / "one" / "smoke" / FILE).read_bytes()


def test_what_is_no_text_is_kept_as_well_as_it_can_be(log: TrafficLog) -> None:
    log.add(served("a", prompt="half \ud800 a pair"))
    log.add(served("b", coefficients={"x": math.inf}))
    assert [s.prompt for s in log.served()] == ["half ? a pair"]
    assert log.losses.records == 1
    assert log.user_key("\ud800") == log.user_key("?")


def test_feedback_of_what_was_served(log: TrafficLog) -> None:
    for id in ("a", "b"):
        log.add(served(id, prompt="Why?"))
    said = [thumb("1", "a", -1, comment="no\x00"), pair("2", "a", "b", objective="vowels"), pair("3", "a", "b", 0.5)]
    for feedback in said:
        log.add_feedback(feedback)
    assert log.feedback() == said
    assert {*log.rated()} == {"a", "b"}


@pytest.mark.parametrize(
    ("feedback", "wrong"),
    [
        (thumb("1", "nobody"), "no request 'nobody'"),
        (thumb("1", "\ud800"), r"no request '\?'"),
        (pair("1", "a", "nobody"), "no request 'nobody'"),
        (pair("1", "a", "a"), "two different answers"),
        (pair("1", "a", ""), "two different answers"),
        (thumb("1", "a", other="b"), "two different answers"),
        (thumb("1", "a", 0.0), "a thumb is 1 or -1"),
        (thumb("1", "a", math.nan), "a thumb is 1 or -1"),
        (pair("1", "a", "b", -1), "a pair 1 or 0.5"),
        (pair("1", "a", "other prompt"), "different prompts"),
        (pair("1", "a", "other length"), "different prompts"),
        (thumb("1", "a", comment="x" * (MOST_COMMENT + 1)), "2001 characters"),
    ],
)
def test_feedback_that_says_nothing_is_refused(log: TrafficLog, feedback, wrong: str) -> None:
    for id, prompt, tokens in (
        ("a", "Why?", 7),
        ("b", "Why?", 7),
        ("other prompt", "Who?", 7),
        ("other length", "Why?", 8),
    ):
        log.add(served(id, prompt=prompt, prompt_tokens=tokens))
    with pytest.raises(ParetoError, match=wrong):
        log.add_feedback(feedback)
    assert log.feedback() == []
    log.add_feedback(thumb("2", "a"))
    with pytest.raises(ParetoError, match="its id is there already"):
        log.add_feedback(thumb("2", "b"))


def test_logging_takes_less_than_a_millisecond_and_waits_for_nobody(log: TrafficLog) -> None:
    with _held(log.path):
        seconds = []
        for k in range(300):
            start = time.perf_counter()
            assert log.add(served(f"r{k}", prompt="x" * 1000))
            seconds.append(time.perf_counter() - start)
    assert sorted(seconds)[150] < 0.001
    assert len(log.served()) == 300


def test_what_waits_is_bounded_and_losses_are_counted(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with TrafficLog(tmp_path / "smoke" / FILE, most_waiting=5) as log:
        with _held(log.path):
            kept = [log.add(served(f"r{k}")) for k in range(8)]
        assert kept == [True] * 5 + [False] * 3
        assert len(log.served()) == 5
        assert log.add(served("later"))
        assert (log.losses.records, log.losses.reason) == (3, "more was logged than could be written")
    assert not log.add(served("closed"))
    with pytest.raises(ParetoError, match="closed"):
        log.served()


def test_somebody_who_never_lets_go_costs_records_and_not_the_end_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pareto.traffic.tables, "PATIENCE_SECONDS", 0.2)
    with begun(tmp_path, served("before")) as log:
        log.flush()
        with _held(log.path):
            for k in range(100):
                log.add(served(f"r{k}"))
            start = time.monotonic()
            log.flush()
            assert time.monotonic() - start < 5  # not 100 times the patience
        assert log.losses.records == 100
        assert "another process has held it" in log.losses.reason
        log.add(served("after"))
        assert [s.id for s in log.served()] == ["before", "after"]


@contextmanager
def _held(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.execute("rollback")
        other.close()


# -- accidents -----------------------------------------------------------------------------------------------------

FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, "tests")
from traffic_on_disk import served, thumb
from pareto.errors import ParetoError
from pareto.traffic.log import TrafficLog
log = TrafficLog(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
for k in range(100):
    log.add(served(f"full-{k}", prompt="x" * 10_000))
log.flush()
lost = log.losses.records
assert 0 < lost < 100, lost
assert "cannot be" in log.losses.reason or "full" in log.losses.reason, log.losses.reason
try:
    for k in range(1000):
        log.add_feedback(thumb(f"f{k}", "full-0", comment="y" * 2000))
except ParetoError:
    pass
else:
    raise AssertionError("feedback that was not kept was taken for kept")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
lost = log.losses.records
log.add(served("again"))
assert log.served()[-1].id == "again"
assert log.losses.records == lost
print(len(log.served()))
log.close()
"""


def test_on_a_full_disk_it_counts_what_is_lost_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    begun(tmp_path, served("before")).close()
    path = tmp_path / "smoke" / FILE
    told = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    with TrafficLog(path) as log:
        ids = [s.id for s in log.served()]
    assert len(ids) == int(told.stdout)
    assert {ids[0], ids[-1]} == {"before", "again"}


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from traffic_on_disk import served
from pareto.traffic.log import TrafficLog
log = TrafficLog(Path(sys.argv[1]))
for k in range(int(sys.argv[3])):
    log.add(served(f"{sys.argv[2]}-{k}", prompt="x" * 500))
    if k % 10 == 0:
        log.flush()
        print(k, flush=True)
"""


def test_killed_in_mid_write_it_opens_and_has_what_was_written(tmp_path: Path) -> None:
    begun(tmp_path).close()
    path = tmp_path / "smoke" / FILE
    rng = random.Random(1)
    for turn in range(3):
        command = [sys.executable, "-c", WRITER, str(path), str(turn), str(10**9)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "0\n"
            time.sleep(rng.uniform(0.005, 0.1))
            writer.kill()
            told = writer.stdout.read().split("\n")[:-1]
            assert writer.wait() == -9
        with TrafficLog(path) as log:
            kept = {s.id for s in log.served()}
        assert kept >= {f"{turn}-{k}" for k in range(int(told[-1]) + 1 if told else 1)}
    session = sqlite3.connect(path)
    assert session.execute("pragma integrity_check").fetchone() == ("ok",)
    session.close()


def test_a_loss_is_told_once_its_requests_are_known_and_the_log_says_so_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pareto.traffic.tables, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(pareto.traffic.losing, "CALM_SECONDS", 0.0)
    monkeypatch.setattr(pareto.traffic.losing, "REMEMBERED", 3)
    notes: list[str] = []
    begun(tmp_path, served("before")).close()
    path = tmp_path / "smoke" / FILE
    with TrafficLog(path, note=notes.append) as log:
        with _held(path):
            for k in range(5):
                log.add(served(f"lost-{k}"))
            log.flush()
            assert [line.removeprefix(f"{path}: losing records: ")[:15] for line in notes] == ["another process"]
            assert log.losses.said.startswith("losing records: another process has held it")
            with pytest.raises(Unkept, match="another process"):
                log.add_feedback(thumb("t", "before"))
        log.add_score(scored("deleted"))  # of no request: that is no trouble of the log
        for id in ("lost-2", "lost-4"):
            with pytest.raises(Unkept, match="was answered but could not be logged"):
                log.add_feedback(thumb("t", id))
        with pytest.raises(Unkept, match="'lost-4' was answered"):
            log.add_feedback(pair("p", "before", "lost-4"))
        for id in ("lost-0", "never"):  # long ago, and not at all
            with pytest.raises(ParetoError, match="give the id of an answer") as e:
                log.add_feedback(thumb("t", id))
            assert not isinstance(e.value, Unkept)
        log.add(served("after"))
        log.flush()
        assert log.losses.said == "ok"
        assert notes[1:] == [f"{path}: records are kept again; 6 were lost"]
    with TrafficLog(path) as log:
        assert log.missed().records == 6
        assert log.missed().reason.startswith("another process")
        assert log.missed(time.time() + 60).records == 0


def test_two_processes_write_at_once_and_one_that_just_ends_has_written_all(tmp_path: Path) -> None:
    begun(tmp_path).close()
    path = tmp_path / "smoke" / FILE
    both = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name, "200"], stdout=subprocess.DEVNULL)
        for name in ("one", "two")
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    with TrafficLog(path) as log:
        assert {s.id for s in log.served()} == {f"{name}-{k}" for name in ("one", "two") for k in range(200)}


def test_two_that_begin_a_log_share_it(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    with TrafficLog.open(run, create=True) as one, TrafficLog.open(run, create=True) as two:
        one.add(served("a"))
        assert one.user_key("ann") == two.user_key("ann")
        one.flush()
        assert len(two.served()) == 1
    assert (run.path / FILE).stat().st_mode & 0o077 == 0


def test_without_a_log_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ParetoError, match=r"traffic.sqlite: no traffic was logged yet; `pareto serve`"):
        TrafficLog.open(empty_run(tmp_path))


@pytest.mark.parametrize("what", ["empty", "garbage", "half", "another"])
def test_a_damaged_file_is_said_to_be_one(tmp_path: Path, what: str) -> None:
    log = begun(tmp_path, *(served(f"r{k}", prompt="x" * 5000) for k in range(20)))
    log.close()
    data = log.path.read_bytes()
    broken = {"empty": b"", "garbage": random.Random(0).randbytes(9000), "half": data[: len(data) // 2], "another": b""}
    log.path.write_bytes(broken[what])
    if what == "another":
        other = sqlite3.connect(log.path)
        other.executescript("create table answers (x); pragma user_version = 1;")
        other.close()

    def read() -> None:
        with TrafficLog.open(empty_run(tmp_path), create=True) as log:
            log.served()

    with pytest.raises(ParetoError, match=r"traffic.sqlite: damaged .*move it away") as told:
        read()
    assert "\n" not in str(told.value)
    assert log.path.is_file()


def test_a_newer_log_is_not_touched(log: TrafficLog, tmp_path: Path) -> None:
    log.close()
    other = sqlite3.connect(log.path)
    other.execute("pragma user_version = 2")
    other.close()
    with pytest.raises(ParetoError, match="upgrade pareto"):
        TrafficLog.open(empty_run(tmp_path), create=True)


def test_one_that_is_moved_away_under_a_server_loses_records_and_harms_no_new_one(tmp_path: Path) -> None:
    with begun(tmp_path, served("a")) as log:
        log.flush()
        log.path.rename(log.path.with_name("away"))
        assert log.add(served("b"))
        with pytest.raises(ParetoError, match="moved away"):
            log.served()
        assert log.losses.records == 1
        with TrafficLog.open(empty_run(tmp_path), create=True) as new:
            log.add(served("c"))
            new.add(served("d"))
            assert [s.id for s in new.served()] == ["d"]
