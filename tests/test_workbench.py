"""A run's bench: what is opened is what the sweep left, and nothing damaged gets onto it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_scores
from pareto.watch import Silent
from pareto.workbench import Workbench


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    return Run.open(tmp_path / "smoke")


def test_every_trained_adapter_is_in_the_bank_under_its_points_id(run: Run) -> None:
    bench = Workbench.open(run, Silent())
    trained = {p.id: p.adapters[p.id] for p in load_points(run) if p.kind in ("expert", "trained")}
    assert bench.meter.keys == trained
    assert set(bench.bank.names) == set(trained)


def test_soups_that_are_measured_together_are_measured_as_one_by_one(run: Run) -> None:
    bench = Workbench.open(run, Silent())
    first, second = bench.bank.names[:2]
    soups = [{first: 0.3}, {}, {first: 1.2, second: -0.4}]
    alone = [bench.meter.table(c, "validation") for c in soups]
    one_by_one = [read_scores(run.scores / f"{key}.parquet").columns for key in alone]
    for way in ("merged", "per_row"):
        for key in alone:
            (run.scores / f"{key}.parquet").unlink()
        assert bench.meter.tables(soups, "validation", way=way) == alone
        assert not bench.bank.merged, "the live model is the base again"
        for key, before in zip(alone, one_by_one, strict=True):
            now = read_scores(run.scores / f"{key}.parquet").columns
            for name, values in before.items():
                np.testing.assert_allclose(now[name], values, atol=1e-4, equal_nan=True, err_msg=f"{way} {name}")


def test_a_damaged_adapter_is_told(run: Run) -> None:
    file = next(run.adapters.glob("*/adapter_model.safetensors"))
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ParetoError, match=f"{file.parent.name}: missing or damaged"):
        Workbench.open(run, Silent())


def test_a_run_without_points_is_told(run: Run) -> None:
    (run.path / "frame.json").unlink()
    with pytest.raises(ParetoError, match="has no points yet"):
        Workbench.open(run, Silent())
