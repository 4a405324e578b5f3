from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.objectives.process.aggregate import aggregate_steps, check_how


def test_by_hand() -> None:
    values = (0.5, 0.25, 1.0)
    assert aggregate_steps(values, "last") == 1.0
    assert aggregate_steps(values, "min") == 0.25
    assert aggregate_steps(values, "prod") == 0.125
    assert aggregate_steps(values, "mean") == pytest.approx(7 / 12)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_probabilities_stay_in_order(values: list[float]) -> None:
    prod, least, mean = (aggregate_steps(values, how) for how in ("prod", "min", "mean"))
    assert 0 <= prod <= least <= math.nextafter(mean, 2) <= math.nextafter(1.0, 2)


def test_what_cannot_be_aggregated_is_refused() -> None:
    with pytest.raises(ValueError, match="no steps"):
        aggregate_steps([], "min")
    with pytest.raises(ParetoError, match="option 'how' of a process reward: 'mni' is none; did you mean 'min'"):
        check_how("mni")
