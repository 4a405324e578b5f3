"""What is deleted is gone: from the tables, and from every byte of the log's files."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from forge import until
from traffic_on_disk import begun, empty_run, pair, scored, served, thumb

import pareto.traffic.tables
from pareto.errors import ParetoError
from pareto.traffic.log import TrafficLog
from pareto.traffic.records import Counts
from pareto.traffic.retention import DAY, Retention

SECRET = "my neighbour's diagnosis"


def on_disk(log: TrafficLog, words: Iterable[str]) -> list[str]:
    """Which of the words stand in any file of the folder."""
    data = b"".join(p.read_bytes() for p in log.path.parent.glob("*") if p.is_file())
    return [word for word in words if word.encode() in data]


def filled(root: Path) -> TrafficLog:
    """Two users who ask 40 times each, with overflowing texts, and judge each other."""
    log = begun(root)
    for k in range(40):
        for user in ("ann", "bob"):
            text = f"{user}: {SECRET} {k}. " * (1 + 40 * (k % 5))
            log.add(served(f"{user}-{k}", user=log.user_key(user), time=1000 + k, prompt=text, answer=f"[{text}]"))
            log.add_score(scored(f"{user}-{k}"))
    log.flush()
    for k in range(5):
        log.add_feedback(thumb(f"by-ann-{k}", f"bob-{k}", user=log.user_key("ann"), comment=f"ann says {SECRET}"))
        log.add_feedback(thumb(f"by-bob-{k}", f"bob-{k}", user=log.user_key("bob"), comment="bob says fine"))
        log.add_feedback(thumb(f"of-ann-{k}", f"ann-{k}", user=log.user_key("bob"), comment="bob answers ann"))
    return log


def test_of_a_deleted_user_no_byte_stays_while_others_have_the_log_open(tmp_path: Path) -> None:
    with filled(tmp_path) as log, TrafficLog.open(empty_run(tmp_path)) as server:
        server.add(served("ann-again", user=log.user_key("ann"), prompt="ann: still in the write-ahead file"))
        assert len(server.served()) == 81
        key = log.user_key("ann")
        assert on_disk(log, ["ann: my", "ann says", key]) == ["ann: my", "ann says", key]
        assert log.delete_user("ann") == Counts(requests=41, scores=40, feedback=10)
        assert on_disk(log, ["ann: ", "ann says", "bob answers ann", key]) == []
        assert {s.id for s in server.served()} == {f"bob-{k}" for k in range(40)}
        assert [f.id for f in server.feedback()] == [f"by-bob-{k}" for k in range(5)]
        assert len(server.scores()) == 40
        assert on_disk(log, ["bob: my", "bob says fine"]) == ["bob: my", "bob says fine"]
        assert log.delete_user("ann") == Counts()
        with pytest.raises(ParetoError, match="a user's id"):
            log.delete_user("")


def test_the_room_is_given_back(tmp_path: Path) -> None:
    with filled(tmp_path) as log:
        log.expire(0)
        full = log.path.stat().st_size
        log.delete_user("ann")
        assert log.path.stat().st_size < 0.7 * full


def test_pairs_with_a_deleted_users_answer_go_too(tmp_path: Path) -> None:
    with begun(tmp_path) as log:
        for user in ("ann", "bob", "cem"):
            log.add(served(user, user=log.user_key(user), prompt="Why?"))
        log.add_feedback(pair("1", "bob", "ann"))
        log.add_feedback(pair("2", "bob", "cem"))
        log.delete_user("ann")
        assert [f.id for f in log.feedback()] == ["2"]


def test_a_score_that_comes_after_its_request_was_deleted_is_not_kept(tmp_path: Path) -> None:
    with begun(tmp_path) as log:
        log.add(served("a", user=log.user_key("ann")))
        log.delete_user("ann")
        log.add_score(scored("a"))
        log.add_features("a", [0.5])
        assert log.scores() == []
        assert log.frame().features.shape == (0, 0)


def test_old_requests_go_with_all_that_belongs_to_them(tmp_path: Path) -> None:
    with filled(tmp_path) as log:
        assert log.expire(1035) == Counts(requests=70, scores=70, feedback=15)
        assert [s.time for s in log.served()] == [t for t in range(1035, 1040) for _ in "ab"]
        assert on_disk(log, [f"{SECRET} {k}." for k in range(40)]) == [f"{SECRET} {k}." for k in range(35, 40)]


def test_somebody_who_still_reads_the_old_pages_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pareto.traffic.tables, "PATIENCE_SECONDS", 0.05)
    with filled(tmp_path) as log:
        reader = sqlite3.connect(log.path, isolation_level=None)
        reader.execute("begin")
        reader.execute("select count(*) from served").fetchone()
        with pytest.raises(ParetoError, match="deleted, but another process still reads"):
            log.delete_user("ann")
        reader.close()
        assert log.delete_user("ann") == Counts()
        assert on_disk(log, ["ann: my"]) == []


def test_retention_forgets_at_once_and_then_from_time_to_time(tmp_path: Path) -> None:
    now = [10 * DAY]
    with begun(tmp_path, *(served(f"day-{k}", time=k * DAY) for k in range(10))) as log:
        retention = Retention(log, 3, every=0.01, note=pytest.fail, now=lambda: now[0])
        until(lambda: len(log.served()) == 3, 20)
        assert [s.id for s in log.served()] == ["day-7", "day-8", "day-9"]
        now[0] += DAY
        until(lambda: len(log.served()) == 2, 20)
        retention.close()
        now[0] += DAY
        time.sleep(0.05)
        assert len(log.served()) == 2


def test_retention_goes_on_when_the_file_is_in_the_way(tmp_path: Path) -> None:
    notes: list[str] = []
    with begun(tmp_path) as log:
        log.path.rename(log.path.with_name("away"))
        retention = Retention(log, 1, every=0.01, note=notes.append)
        until(lambda: len(notes) > 1, 20)
        retention.close()
        assert "moved away" in notes[0]
