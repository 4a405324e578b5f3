"""What stands before the application, on raw sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from live_server import answer, head, listening, post

from pareto.inference.server import connections, guards
from pareto.inference.server.guards import Bodies, Keys
from pareto.inference.server.refusals import install


def echoing(**limits: int) -> FastAPI:
    """Tells how long the body was, after as many seconds as it says."""
    app = FastAPI()
    install(app)

    @app.post("/echo")
    async def echo(request: Request) -> dict[str, int]:
        body = await request.body()
        await asyncio.sleep(float(body) if body.isdigit() else 0)
        return {"length": len(body)}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app.add_middleware(Bodies, **{"max_body": 1000, "max_concurrent": 2} | limits)
    return app


def get(port: int, *headers: str) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        s.sendall("\r\n".join(["GET /health HTTP/1.1", "Host: h", "Connection: close", *headers, "", ""]).encode())
        return answer(s)[0]


def test_a_body_of_10_mb_is_refused_with_an_answer_that_arrives() -> None:
    with listening(echoing()) as port:
        assert post(port, "/echo", b"x" * 1000)[2] == {"length": 1000}
        for size in (1001, 10_000_000):
            status, _, body = post(port, "/echo", b"x" * size)
            assert status == 413
            assert "1000 bytes" in body["error"]["message"]


def test_a_body_that_does_not_say_its_length_is_counted() -> None:
    with listening(echoing()) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            s.sendall(b"190\r\n" + b"x" * 400 + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        assert answer(s)[0] == 413


def test_a_slow_body_is_given_up_and_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.4)
    with listening(echoing()) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(head("/echo", 100) + b"x")
        assert post(port, "/echo", b"xx")[2] == {"length": 2}
        status, _, body = answer(slow)
        assert status == 408
        assert body["error"]["code"] == "timeout"


def test_a_head_that_never_ends_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with listening(echoing()) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        began = time.monotonic()
        slow.sendall(b"POST /echo HTTP/1.1\r\nHost: ")
        with suppress(ConnectionError):
            while time.monotonic() < began + 10:  # a byte now and then does not help
                slow.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() < began + 5
        # An answer that takes longer than a head may is not disturbed.
        assert post(port, "/echo", b"1")[2] == {"length": 1}


@contextmanager
def connected(port: int, number: int, said: bytes) -> Iterator[list[socket.socket]]:
    """So many that have said this."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(number)]
        for s in held:
            s.sendall(said)
        yield held


def test_connections_beyond_the_most_are_told_so_where_all_are_at_work() -> None:
    with listening(echoing(max_concurrent=3), connections=3) as port, connected(port, 3, head("/echo", 1)) as held:
        time.sleep(0.2)  # the server knows them
        with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            status, headers, _ = answer(s)
        assert (status, headers["retry-after"]) == (429, "1")
        for s in held:
            s.sendall(b"0")
            assert s.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_else_whoever_has_been_idle_longest_makes_room() -> None:
    def answered(s: socket.socket) -> bool:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        said = b""
        with suppress(ConnectionError):
            while not said.endswith(b"}") and (piece := s.recv(1 << 16)):
                said += piece
        return said.startswith(b"HTTP/1.1 200")

    with listening(echoing(), connections=3) as port, connected(port, 3, b"") as held:
        assert all(answered(held[i]) for i in (1, 2, 0))
        assert post(port, "/echo", b"x")[2] == {"length": 1}
        assert [answered(s) for s in held] == [True, False, True]


def test_who_sends_slowly_keeps_nobody_away_and_who_holds_much_has_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "HELD", 1500)
    with listening(echoing(max_concurrent=1)) as port, connected(port, 40, head("/echo", 999) + b"x") as slow:
        for s in slow[:2]:
            s.sendall(b"x" * 700)
        time.sleep(0.2)
        assert post(port, "/echo", b"x" * 20)[2] == {"length": 20}
        status, headers, body = post(port, "/echo", b"x" * 900)
        assert (status, body["error"]["code"]) == (429, "busy")
        assert headers["retry-after"]
    with listening(echoing()) as port:
        assert post(port, "/echo", b"x" * 900)[2] == {"length": 900}


def test_more_requests_than_may_be_served_are_told_when_to_come_again() -> None:
    with listening(echoing(max_concurrent=1)) as port:
        first: list[int] = []
        busy = threading.Thread(target=lambda: first.append(post(port, "/echo", b"1")[0]))
        busy.start()
        time.sleep(0.3)
        status, headers, body = post(port, "/echo", b"0")
        busy.join()
        assert (status, body["error"]["type"]) == (429, "rate_limit_error")
        assert int(headers["retry-after"]) >= 1
        assert first == [200]
        assert post(port, "/echo", b"0")[0] == 200


def test_who_is_refused_is_told_how_long_the_server_expects_to_take() -> None:
    app = echoing()
    app.add_middleware(Bodies, max_body=1000, max_concurrent=1, patience=lambda ahead: 40.0 + ahead)
    with listening(app) as port, connected(port, 1, head("/echo", 1) + b"1"):
        time.sleep(0.3)
        status, headers, _ = post(port, "/echo", b"0")
    assert (status, headers["retry-after"]) == (429, "42")


def test_only_a_key_opens() -> None:
    app = echoing()
    app.add_middleware(Keys, keys=("right", "another"))
    with listening(app) as port:
        ask: Callable[..., tuple] = partial(post, port, "/echo", b"x")
        assert ask("Authorization: Bearer right")[0] == ask("authorization: bearer another")[0] == 200
        assert get(port) == 200  # whether it lives may be asked by all
        for wrong in ("X: y", "Authorization: Bearer", "Authorization: Basic right", "Authorization: Bearer righ"):
            status, headers, body = ask(wrong)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert body["error"]["code"] == "invalid_api_key"


@given(st.binary(min_size=1, max_size=40))
def test_no_other_bytes_open(key: bytes) -> None:
    keys = Keys(echoing(), ["right"])
    scope = {"type": "http", "path": "/v1/models", "headers": [(b"authorization", b"Bearer " + key)]}
    assert keys._opens(scope) == (key.strip(b" ") == b"right")
