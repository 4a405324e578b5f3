import numpy as np
import pytest

from pareto.bench.serve import drift
from pareto.records import Prompt

KINDS = ("provocations", "people", "capitals", "sums", "arithmetic")


def embed(texts: list[str]) -> np.ndarray:
    """A direction for each kind, with a little noise."""
    found = np.eye(24)[[KINDS.index(t) for t in texts]] + 0.15 * np.random.default_rng(0).standard_normal(
        (len(texts), 24)
    )
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_plants_are_found_and_controls_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "packaged_prompts", lambda name: [Prompt(str(k), name, name) for k in range(120)])
    found = drift.drift_bench(1, embed=embed)
    assert [(r["kind"], r["share"]) for r in found["rows"]] == [
        (kind, share) for kind in ("made up", *KINDS) for share in (1.0, 0.5)
    ]
    assert all(r["found"] == 1.0 and 1 <= r["median"] <= 200 for r in found["rows"])
    assert all(r["found"] == 0 and r["most"] is None for r in found["control"])
    assert found["figures"]["drift_found"] == 1
    assert found["figures"]["drift_false"] == found["figures"]["drift_control"] == 0
