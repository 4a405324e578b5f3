"""Utilities of prompts: what applies counts, in the frame's units and directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import prompted_runs as runs
import pytest

from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.inference.auto_weights.measured import Measured, state
from pareto.store.files import write_json


def test_a_utility_is_the_weighted_sum_in_base_deviations(tmp_path: Path) -> None:
    run = runs.make(tmp_path, each=2)
    write_json(
        run.path / "frame.json",
        Frame(runs.NAMES, (1.0, -1.0, 1.0), (1.0, 2.0, 3.0), (2.0, 4.0, 5.0), (-1.0,) * 3).to_json(),
    )
    raw = np.array([[3.0, 6.0, np.nan], [5.0, np.nan, np.nan], [1.0, 2.0, 8.0], [1.0, 2.0, 3.0]])
    other = np.array([[1.0, 2.0, np.nan], [5.0, 10.0, np.nan], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    for point in Measured.of(run, "validation").points:
        (run.points / f"{point.id}.validation.json").unlink()
    ids = [f"{kind}-validation-{k}" for kind in runs.TYPES[:2] for k in range(2)]
    runs.put(run, "one", np.array([1.0, 0.0, 0.0]), "validation", ids, raw)
    runs.put(run, "two", np.array([0.0, 0.5, 0.5]), "validation", ids, other)
    measured = Measured.of(run, "validation")
    assert [p.id for p in measured.prompts] == ids
    assert measured.weights.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    weights = np.array([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0], [np.nan] * 3])
    values, told = measured.utility(weights)
    assert values[0] == pytest.approx([0.5 * 1.0 - 0.5 * 1.0, 0.0])
    # A reward that failed on one policy says nothing of which is better.
    assert values[1] == pytest.approx([0.2 * 2.0 - 0.8 * 2.0] * 2)
    assert values[2] == pytest.approx([1.0, 0.0])
    assert told.tolist() == [True, True, True, False]
    assert not measured.utility(np.tile([0.0, 0.0, 1.0], (4, 1)))[1][:2].any()


def test_one_policy_is_nothing_to_choose_from(tmp_path: Path) -> None:
    run = runs.make(tmp_path, each=2)
    for path in run.points.glob("soup-[1-9]*"):
        path.unlink()
    with pytest.raises(ParetoError, match="1 policies with weights on validation prompts and needs two"):
        Measured.of(run, "validation")


def test_the_state_follows_what_is_learned_from(tmp_path: Path) -> None:
    run = runs.make(tmp_path, each=2)
    before = state(run)
    (run.points / "soup-0.test.json").unlink()
    assert state(run) == before
    (run.points / "soup-0.validation.json").unlink()
    assert state(run) != before
