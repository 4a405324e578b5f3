"""The bench of the explorer on the smoke sweep: it measures what it says, in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pareto.bench.explorer import BUDGET, bench_explorer, served
from pareto.errors import ParetoError
from pareto.store.run import Run


def test_every_latency_is_measured_and_held_against_its_budget(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    said: list[str] = []
    result = bench_explorer(Run.open(tmp_path / "runs" / "smoke"), 3, said.append)
    assert {row["what"] for row in result["rows"]} == set(BUDGET)
    for row in result["rows"]:
        assert 0.01 < row["median"] <= row["p90"] < 60
        assert row["kept"] == (row["median"] <= row["budget"])
    assert len(said) == 3


def test_an_explorer_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ParetoError, match="did not start: pareto: no run 'nobody'"), served(tmp_path, "nobody"):
        pass
