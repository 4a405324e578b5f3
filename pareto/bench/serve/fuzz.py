"""Requests made up from a server's own OpenAPI page, right ones and wrong ones: does any break it?"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pareto.errors import ParetoError

BOTH = (("POST", "/v1/chat/completions", 70), ("POST", "/v1/feedback", 20))
"""What is asked rightly and wrongly, and of how many in a hundred cases."""
RIGHT = (
    ("GET", "/v1/models/{id}", 7),
    ("GET", "/v1/models", 1),
    ("GET", "/health", 1),
    ("GET", "/metrics", 1),
)
"""What cannot be asked wrongly."""
KEPT = 10
"""Requests that broke the server, of which so many are told."""


@dataclass
class Fuzzed:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Status of HTTP → how often."""
    broken: list[str] = field(default_factory=list)
    """Requests that broke it, as commands for curl."""

    @property
    def cases(self) -> int:
        """Requests in all."""
        return self.statuses.total()

    @property
    def server_errors(self) -> int:
        """How many the server failed on."""
        return sum(n for status, n in self.statuses.items() if status >= 500)


def fuzz(url: str, cases: int = 2000, seed: int = 0) -> Fuzzed:
    """Ask a server that runs.

    Args:
        url: its address, such as http://127.0.0.1:8000.
        cases: requests.
        seed: of what is made up.

    Raises:
        ParetoError: schemathesis is not installed.
    """
    try:
        import schemathesis
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import seed as seeded
        from hypothesis import strategies as st
        from schemathesis import GenerationMode
    except ImportError:
        raise ParetoError("this needs the extra 'dev': pip install 'pareto[dev]'") from None

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    model = schema["/v1/models"]["GET"].Case().call().json()["data"][0]["id"]
    found = Fuzzed()
    asked = [(*one, tuple(GenerationMode)) for one in BOTH] + [(*one, (GenerationMode.POSITIVE,)) for one in RIGHT]
    percent = 0
    for method, path, share, modes in asked:
        percent += share
        made = st.one_of(*(schema[path][method].as_strategy(generation_mode=mode) for mode in modes))
        goal = math.ceil(cases * percent / 100)
        # Where there is little to make up, hypothesis ends early: then the same again.
        while found.cases < goal:

            @seeded(seed + found.cases)
            @settings(
                max_examples=goal - found.cases,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                deadline=None,
                database=None,
            )
            @given(case=made)
            def ask(case: Any) -> None:
                if found.cases % 2:
                    _ripen(case.body, model)
                response = case.call()
                found.statuses[response.status_code] += 1
                if response.status_code >= 500 and len(found.broken) < KEPT:
                    found.broken.append(case.as_curl_command())

            ask()
    return found


def _ripen(body: Any, model: str) -> None:
    """Let a conversation come as far as the model: what is made up hardly ever names one that there is."""
    if isinstance(body, dict) and "model" in body:
        body["model"] = model
        turns = body.get("messages")
        if isinstance(turns, list) and turns and isinstance(turns[-1], dict):
            turns[-1]["role"] = "user"
