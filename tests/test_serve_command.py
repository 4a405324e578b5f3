"""``pareto serve`` as a process."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from forge import Forge, until
from live_server import head, post

from pareto.store.run import Run
from pareto.traffic.log import TrafficLog

HELLO = [{"role": "user", "content": "What is 12 plus 5?"}]


@pytest.fixture(scope="module")
def smoke(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("serve")
    return shutil.copytree(finished / "smoke", root / "smoke")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_it_serves_and_ends_in_order_when_told_to(forge: Forge, smoke: Path) -> None:
    port = free_port()
    command = forge.start("serve", smoke, "--port", str(port), "--max-tokens", "480", PARETO_API_KEYS="one, two")
    until(lambda: listens(port) or command.ended())
    asked = {"model": "smoke", "messages": HELLO}
    assert post(port, "/v1/chat/completions", asked)[0] == 401
    assert post(port, "/v1/chat/completions", asked, "Authorization: Bearer two")[0] == 200

    body = json.dumps({**asked, "stream": True, "max_tokens": 300, "temperature": 2, "n": 4}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        stream.sendall(head("/v1/chat/completions", len(body), "Authorization: Bearer one") + body)
        said = stream.recv(500)
        command.send(signal.SIGTERM)
        until(lambda: not listens(port))
        while piece := stream.recv(1 << 16):
            said += piece
    assert b"data: [DONE]" in said
    assert said.count(b'"finish_reason":') - said.count(b'"finish_reason": null') == 4
    ended = command.wait()
    assert ended.code == 0
    assert ended.err.splitlines()[0].startswith(f"http://127.0.0.1:{port}/v1")
    assert "Traceback" not in ended.err
    with TrafficLog.open(Run(smoke)) as log:
        assert [served.status for served in log.served()] == [200, 200]
        assert len(log.frame().featured) == 2


def test_an_adapter_that_changes_on_disk_changes_no_answer(forge: Forge, smoke: Path, tmp_path: Path) -> None:
    port, run = free_port(), Run(shutil.copytree(smoke, tmp_path / "smoke"))
    command = forge.start("serve", run.path, "--port", str(port), "--watch-share", "0")
    until(lambda: listens(port) or command.ended())

    def said(**pareto: Any) -> Any:
        asked = {"model": "smoke", "messages": HELLO, "seed": 1, "pareto": pareto}
        return post(port, "/v1/chat/completions", asked)[2]["choices"]

    weights = [{"vowels": 1.0}, {"vowels": 0.3, "digits": 0.7}]
    before = [said(weights=w) for w in weights]
    for file in run.adapters.glob("*/adapter_model.safetensors"):
        file.write_bytes(b"nonsense")
    assert [said(weights=w) for w in weights] == before
    command.send(signal.SIGINT)
    assert command.wait().code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--host", "0.0.0.0"], "--api-key KEY"),
        (["--beta-share", "2"], "--beta-share 2"),
        (["--timeout", "nan"], "--timeout nan"),
        (["--max-tokens", "0"], "--max-tokens 0"),
        (["--max-best-of", "64"], "--rows is 32"),
        (["--api-key", ""], "--api-key"),
        (["--candidate", "nobody"], "nobody"),
        (["--host", "203.0.113.1", "--insecure"], "cannot listen there"),
    ],
)
def test_bad_options_are_told_in_one_line(forge: Forge, smoke: Path, words: list[str], says: str) -> None:
    assert says in forge.run("serve", smoke, *words).line()


def test_a_port_that_is_taken(forge: Forge, smoke: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        assert f"--port {port}: cannot listen there" in forge.run("serve", smoke, "--port", str(port)).line()
