"""Clients that send nonsense, leave, wait too long or come too many; and what changes under a server."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from forge import until
from live_server import Live, head, live, post

from pareto.bench.serve.siege import besieged
from pareto.inference.server import guards
from pareto.store.run import Run

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "What is 12 plus 5?"}]
LONG = {"model": "smoke", "messages": HELLO, "max_tokens": 400, "n": 4, "temperature": 2}


@pytest.fixture(scope="module")
def served(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("hostile")
    with live(Run(shutil.copytree(finished / "smoke", root / "smoke")), score_share=0) as server:
        yield server


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "body"),
        (b"{", "not JSON"),
        (b'{"model": "smoke", "messages": [}', "not JSON: Expecting value at character 33"),
        (b"[" * 100_000, "too deeply nested"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "number too long"),
        (b"\xff\xfe", "not JSON"),
        (b'{"model": "caf\xe9"}', "not JSON that can be read: not UTF-8"),
        (b'{"model": "smoke", "messages": [{"role": "user", "content": [{"type": ["file"], "text": "x"}]}]}', "text"),
        (b"[1, 2]", "JSON object"),
        (b"null", "JSON object"),
        (b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}', "model"),
        (b'{"model": "smoke", "messages": [{"role": "user", "content": "\\ud800"}]}', "messages.0.content"),
        (b'{"model": "smoke", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}', "temperature"),
        (b'{"model": "smoke", "messages": [{"role": "user", "content": "x"}], "pareto": {"weights": {"digits": NaN}}}',
         "digits"),
        (b'{"model": "smoke", "messages": [{"role": "user", "content": "x"}], "pareto": {"priorities": ">>"}}',
         "priorit"),
        (b'{"model": "smoke", "messages": [{"role": "user", "content": "x"}], "seed": 1e400}', "seed"),
    ],
)  # fmt: skip
def test_nonsense_is_answered_in_one_line(served: Live, body: bytes, says: str) -> None:
    status, _, told = post(served.port, PATH, body)
    assert status == 400
    assert says in told["error"]["message"]
    assert "\n" not in told["error"]["message"]
    assert told["error"]["code"] == "invalid_json" or "not JSON" not in told["error"]["message"]


def test_addresses_and_methods_that_are_not_there(served: Live) -> None:
    assert post(served.port, "/v1/completions", {})[2]["error"]["message"].startswith("there is no /v1/completions")
    assert post(served.port, "/health", {})[0] == 405
    status, _, told = post(served.port, PATH, b"{}", "Content-Type: text/plain")
    assert (status, told["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_stops_what_is_computed(served: Live, stream: bool) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as s:
        body = (b'{"user": "left%d", ' % stream) + str({**LONG, "stream": stream})[1:].replace("'", '"').encode()
        body = body.replace(b"True", b"true").replace(b"False", b"false")
        s.sendall(head(PATH, len(body)) + body)
        until(lambda: served.parts.engine.stats().running > 0)
        if stream:
            assert s.recv(100).startswith(b"HTTP/1.1 200")
    until(served.idle)
    key = served.parts.log.user_key(f"left{int(stream)}")
    until(lambda: any(logged.user == key for logged in served.parts.log.served()))
    (logged,) = [logged for logged in served.parts.log.served() if logged.user == key]
    assert (logged.finish, logged.status) == ("cancelled", 499)
    assert logged.tokens < 4 * 400


def test_numbers_too_small_for_the_model_draw_the_likeliest_tokens(served: Live) -> None:
    def said(**sampling: float) -> Any:
        status, _, told = post(served.port, PATH, {"model": "smoke", "messages": HELLO, "seed": 1} | sampling)
        assert status == 200
        return told["choices"]

    greedy = said(temperature=0)
    for small in (5e-324, 1e-40, 1e-5):
        assert said(temperature=small) == said(top_p=small) == greedy


def test_a_log_that_loses_records_is_told_and_blames_no_client(finished: Path, tmp_path: Path) -> None:
    def health(port: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as said:
            return str(json.load(said)["log"])

    run = Run(shutil.copytree(finished / "smoke", tmp_path / "smoke"))
    with live(run, score_share=0) as server:
        assert health(server.port) == "ok"
        server.parts.log.path.rename(tmp_path / "away")
        asked = {"model": "smoke", "messages": HELLO, "max_tokens": 2}
        id = post(server.port, PATH, asked)[2]["id"]
        until(lambda: health(server.port).startswith("losing records: was moved away"))
        status, _, told = post(server.port, "/v1/feedback", {"id": id, "thumb": 1})
        assert (status, told["error"]["type"]) == (503, "server_error")
        assert str(tmp_path) not in told["error"]["message"]
        (tmp_path / "away").rename(server.parts.log.path)
        status, _, told = post(server.port, "/v1/feedback", {"id": id, "thumb": 1})
        assert status == 503
        assert "was answered but could not be logged" in told["error"]["message"]
        assert post(server.port, "/v1/feedback", {"id": "another", "thumb": 1})[0] == 400
        again = post(server.port, PATH, asked)[2]["id"]
        assert post(server.port, "/v1/feedback", {"id": again, "thumb": 1})[0] == 200


def test_a_request_that_takes_too_long_ends_with_what_it_has(finished: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(finished / "smoke", tmp_path / "smoke"))
    with live(run, timeout=0.3, score_share=0) as server, server.client() as client:
        said: Any = client.chat.completions.create(**LONG)
        assert {choice.finish_reason for choice in said.choices} <= {"length", "stop"}
        assert "0.3 s" in said.pareto["note"]
        assert 0 < said.usage.completion_tokens < 4 * 400


def test_more_than_may_wait_are_told_when_to_come_again(finished: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(finished / "smoke", tmp_path / "smoke"))
    with live(run, rows=1, max_waiting=1, max_best_of=1, score_share=0) as server, server.client() as client:
        refused: list[openai.RateLimitError] = []
        answered: list[int] = []

        def ask() -> None:
            try:
                said = client.chat.completions.create(**{**LONG, "n": 1, "max_tokens": 100})
                answered.append(said.usage.completion_tokens)
            except openai.RateLimitError as e:
                refused.append(e)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answered) + len(refused) == 6
        assert answered
        assert refused
        assert all(int(e.response.headers["retry-after"]) >= 1 for e in refused)


def test_hundreds_of_connections_that_are_idle_slow_or_break_off_disturb_nobody(
    served: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times as many as this server takes; one that has to make room comes again, as OpenAI's client does."""
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.5)

    def asked() -> int:
        for _ in range(20):
            with suppress(ConnectionError):
                return post(served.port, PATH, {"model": "smoke", "messages": HELLO, "max_tokens": 2})[0]
        return 0

    here = ("127.0.0.1", served.port)
    with besieged(*here, 300) as seen, socket.create_connection(here, timeout=10) as slow:
        with suppress(ConnectionError):
            slow.sendall(head(PATH, 100) + b"{")
        assert [asked() for _ in range(10)] == [200] * 10
        with suppress(ConnectionError):
            assert slow.recv(1 << 16)[:12] in (b"HTTP/1.1 408", b"")
    assert seen["made"] > 300
    assert not [word for word in seen if word.startswith("5")]
