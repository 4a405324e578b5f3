"""What a page in a browser may ask, where ``--cors`` lets it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from live_server import listening

from pareto.errors import ParetoError
from pareto.inference.server import guards
from pareto.inference.server.app import make_app
from pareto.inference.server.metrics import Metrics
from pareto.inference.server.settings import Settings

PATH = "/v1/chat/completions"
PAGE, OTHER = "https://page.example", "https://other.example"
KEY = {"Authorization": "Bearer right"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}


def port_of(**settings: Any) -> Any:
    """A server that has no model: nothing here gets so far."""
    engine = SimpleNamespace(patience=lambda ahead: 1.0)
    parts: Any = SimpleNamespace(settings=Settings(keys=("right",), **settings), metrics=Metrics(), engine=engine)
    return listening(make_app(parts))


def ask(
    port: int, method: str, headers: dict[str, str], body: bytes = b"{}", path: str = PATH
) -> tuple[int, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with port_of(cors=(PAGE,)) as port:
        yield port


def test_a_preflight_needs_no_key(port: int) -> None:
    status, headers = ask(port, "OPTIONS", {"Origin": PAGE, **PREFLIGHT})
    assert status == 200
    assert headers["access-control-allow-origin"] == PAGE
    assert "POST" in headers["access-control-allow-methods"]
    assert {"authorization", "content-type"} <= set(headers["access-control-allow-headers"].lower().split(", "))


def test_another_page_is_let_in_by_nothing(port: int) -> None:
    status, headers = ask(port, "OPTIONS", {"Origin": OTHER, **PREFLIGHT})
    assert status == 400
    assert "access-control-allow-origin" not in headers
    _, headers = ask(port, "GET", {"Origin": OTHER, **KEY}, path="/openapi.json")
    assert "access-control-allow-origin" not in headers
    # What a browser sends without asking first is no JSON, and is not taken for it.
    assert ask(port, "POST", {"Origin": OTHER, **KEY, "Content-Type": "text/plain"})[0] == 400


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, KEY, None),
        (401, {}, b"{}"),
        (401, {"Authorization": "Bearer wrong"}, b"{}"),
        (400, KEY, b"{"),
        (413, KEY, b" " * 3_000_000),
        (429, KEY, b"{}"),
    ],
)
def test_a_page_can_read_answers_and_refusals(
    port: int, status: int, headers: dict[str, str], body: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if status == 429:
        monkeypatch.setattr(guards, "HELD", 1)
    if body is None:
        told, found = ask(port, "GET", {"Origin": PAGE, **headers}, path="/openapi.json")
    else:
        told, found = ask(port, "POST", {"Origin": PAGE, **headers}, body)
    assert told == status
    assert found["access-control-allow-origin"] == PAGE
    assert found["access-control-expose-headers"] == "Retry-After"
    assert (found["retry-after"] is not None) == (status == 429)


def test_without_the_option_no_page_is_let_in() -> None:
    with port_of() as port:
        assert ask(port, "OPTIONS", {"Origin": PAGE, **PREFLIGHT})[0] == 401
        assert "access-control-allow-origin" not in ask(port, "POST", {"Origin": PAGE, **KEY}, b"{")[1]


def test_any_page_where_that_is_asked_for() -> None:
    with port_of(cors=("*",)) as port:
        assert ask(port, "POST", {"Origin": OTHER}, b"{")[1]["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("origin", ["page.example", "https://page.example/", "https://Page.example", ""])
def test_an_origin_that_no_browser_sends_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ParetoError, match="wanted \\* or an origin"):
        Settings(cors=(origin,))
