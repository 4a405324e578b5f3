import json
import math

import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.front.frame import Frame

NAN = math.nan


def test_base_is_the_origin_and_its_spread_the_unit() -> None:
    frame = Frame.from_base(["up", "cost"], [1, -1], [[1.0, 10.0], [3.0, NAN], [5.0, 14.0]], margin=1.5)
    assert frame.centre == (3.0, 12.0)
    assert frame.scale == pytest.approx((2.0, math.sqrt(8)))
    assert frame.reference == (-1.5, -1.5)
    # Two units above the mean, and a cost one standard deviation lower than the mean.
    assert frame.normalise([5.0, 12.0 - math.sqrt(8)]) == pytest.approx([1.0, 1.0])


def test_missing_values_stay_missing_in_any_shape() -> None:
    frame = Frame(("a", "b"), (1.0, -1.0), (0.0, 1.0), (1.0, 2.0), (-1.0, -1.0))
    out = frame.normalise([[[1.0, NAN]], [[NAN, 3.0]]])
    np.testing.assert_array_equal(out, [[[1.0, NAN]], [[NAN, -1.0]]])


@pytest.mark.parametrize("scores", [[[0.1]] * 7, [[0.4]], [[NAN], [0.4]]])
def test_an_objective_that_never_varies_keeps_its_own_units(scores: list[list[float]]) -> None:
    assert Frame.from_base(["flat"], [1], scores, margin=1).scale == (1.0,)


def test_an_objective_without_scores_is_named() -> None:
    with pytest.raises(ParetoError, match="objective 'honest'"):
        Frame.from_base(["helpful", "honest"], [1, 1], [[1.0, NAN], [2.0, NAN]], margin=1)


def test_survives_json_exactly() -> None:
    frame = Frame.from_base(["a", "b"], [1, -1], np.random.default_rng(0).normal(size=(9, 2)), margin=0.3)
    assert Frame.from_json(json.loads(json.dumps(frame.to_json()))) == frame
