from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from pareto.engines.on_ray import RayEngine, connection, table
from pareto.errors import ParetoError


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "ray://10.0.0.1:10001", "head:", ":6379", "head:port", "head:99999", ""]
)
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ParetoError, match="must be HOST:PORT of the cluster's head, such as"):
        RayEngine.connect(address)


def test_an_address_that_does_not_answer_is_one_line_at_once(capfd: Any) -> None:
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(ParetoError, match=f"^no Ray cluster at {address}: Connection refused"):
        RayEngine.connect(address)
    assert time.monotonic() - began < 15
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "é" * 300])
def test_a_host_without_an_address_is_one_line(host: str) -> None:
    with pytest.raises(ParetoError, match=r"^no Ray cluster at .*`ray start --head` starts one$"):
        RayEngine.connect(f"{host}:6379")


@pytest.mark.parametrize(("gpus", "cpus"), [(1.5, 1), (-1, 1), (0, 0), (0, -1)])
def test_what_a_work_needs_must_be_possible(gpus: float, cpus: float) -> None:
    with pytest.raises(ParetoError, match="PUs per work: must be"):
        RayEngine.connect("127.0.0.1:1", gpus_per_work=gpus, cpus_per_work=cpus)


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """``ray.nodes`` hangs once the event is set."""
    hangs, end = threading.Event(), threading.Event()
    monkeypatch.setattr(table.ray, "nodes", lambda: end.wait(30) if hangs.is_set() else [{"NodeID": "a"}])
    monkeypatch.setattr(table, "EVERY", 0.01)
    monkeypatch.setattr(table, "SILENCE", 0.2)
    yield hangs
    end.set()


def test_a_head_that_is_gone_is_one_line_and_no_hang(hung: threading.Event) -> None:
    with closing(table.Table("10.0.0.1:6379")) as looking:
        time.sleep(0.4)
        assert looking.rows() == [{"NodeID": "a"}]
        hung.set()
        time.sleep(0.4)
        with pytest.raises(
            ParetoError, match=r"the cluster at 10.0.0.1:6379 does not answer any more; start one and give"
        ):
            looking.rows()


def test_what_never_returns_is_left_behind() -> None:
    end = threading.Event()
    with pytest.raises(TimeoutError):
        connection.in_time(0.05, lambda: end.wait(30))
    end.set()
    assert connection.in_time(10, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        connection.in_time(10, lambda: 1 // 0)
