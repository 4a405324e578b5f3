"""Requests made from the OpenAPI page: a few here, thousands by ``pareto bench serve``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_server import Live, live
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from pareto.bench.serve.fuzz import fuzz
from pareto.store.run import Run

CASES = 20
ANSWERS = [not_a_server_error, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def served(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("fuzz")
    with live(Run(shutil.copytree(finished / "smoke", root / "smoke")), max_tokens=8, score_share=0) as server:
        yield server


@pytest.mark.parametrize(
    ("method", "path", "modes"),
    [
        ("POST", "/v1/chat/completions", list(GenerationMode)),
        ("POST", "/v1/feedback", list(GenerationMode)),
        ("GET", "/v1/models/{id}", [GenerationMode.POSITIVE]),
        ("GET", "/v1/models", [GenerationMode.POSITIVE]),
        ("GET", "/health", [GenerationMode.POSITIVE]),
        ("GET", "/metrics", [GenerationMode.POSITIVE]),
    ],
)
def test_no_request_breaks_it(served: Live, method: str, path: str, modes: list[GenerationMode]) -> None:
    operation = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")[path][method]

    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck), database=None)
    @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes)))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=ANSWERS)

    ask()


def test_the_bench_makes_up_as_many_as_it_is_asked_for(served: Live) -> None:
    found = fuzz(f"http://127.0.0.1:{served.port}", 40)
    assert found.cases == 40
    assert found.server_errors == 0
