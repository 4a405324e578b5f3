from __future__ import annotations

from pathlib import Path

import numpy as np

from pareto.models import Base
from pareto.objectives.process.hidden import Encoded, StepFeatures, encode
from pareto.training.process.feature_files import step_features


class Counted(StepFeatures):
    made = 0

    def __call__(self, rows):
        self.made += len(rows)
        return super().__call__(rows)


def test_what_was_made_is_read_again_unless_it_is_damaged(tiny: Base, tmp_path: Path) -> None:
    features = Counted(tiny, "last")
    rows: list[Encoded] = [encode(tiny, "How?", f"{'a' * k}\nb") for k in range(1, 6)]
    first = step_features(features, rows[:3], tmp_path)
    again = step_features(features, rows[::-1], tmp_path)
    assert features.made == 5
    for found, made in zip(again[::-1], first, strict=False):
        np.testing.assert_array_equal(found, made)
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) == 2
    files[0].write_bytes(files[0].read_bytes()[:-5])
    repaired = step_features(features, rows, tmp_path)
    assert features.made > 5
    for found, made in zip(repaired, again[::-1], strict=True):
        np.testing.assert_allclose(found, made, atol=1e-6)
