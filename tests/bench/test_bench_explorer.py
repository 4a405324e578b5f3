"""The bench of the explorer on the smoke sweep: it measures what it says, in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from forge import Forge

from pareto.bench.explorer import BUDGET, served
from pareto.errors import ParetoError


def test_every_latency_is_measured_and_held_against_its_budget(forge: Forge, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    # In a process of its own: Playwright drives one browser at a time from a thread.
    ended = forge.run("bench", "explorer", "smoke", "--root", tmp_path / "runs", "--repeats", "3", "--json")
    rows = ended.json()["rows"]
    assert {row["what"] for row in rows} == set(BUDGET)
    for row in rows:
        assert 0.01 < row["median"] <= row["p90"] < 60
        assert row["kept"] == (row["median"] <= row["budget"])
    assert len(ended.err.splitlines()) == 3


def test_an_explorer_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ParetoError, match="did not start: pareto: no run 'nobody'"), served(tmp_path, "nobody"):
        pass
