import numpy as np
import pytest
from fronts import NAMES, candidates

from pareto.choice.levels import parse_levels
from pareto.choice.prices import prices


def test_the_price_of_a_level_is_what_the_others_lose() -> None:
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.standard_normal((3, 50, 3))
    # p0 is best in c, p1 keeps a, p2 keeps a and is small in b (less is better).
    means = np.array([[0.2, 0.5, 0.9], [0.8, 0.5, 0.6], [0.8, 0.1, 0.3]])
    c = candidates(means[:, None] + noise - noise.mean(axis=1, keepdims=True))
    listed = {(p.level, p.objective): p for p in prices(c, parse_levels("a>=0.7@mean;b<=0.3@mean", NAMES))}
    assert set(listed) == {(0, "b"), (0, "c"), (1, "a"), (1, "c")}
    assert [listed[0, n].cost for n in "bc"] == pytest.approx([0.0, 0.0], abs=1e-12)  # only p2 keeps b anyway
    price = listed[1, "c"]
    assert (price.best_without, price.best_with) == ("p1", "p2")
    assert price.cost == pytest.approx(0.3)
    paired = c.scores[1, :, 2] - c.scores[2, :, 2]
    assert price.se == pytest.approx(paired.std(ddof=1) / np.sqrt(50))
    (alone,) = [p for p in prices(c, parse_levels("a>=0.7@mean", NAMES)) if p.objective == "c"]
    assert alone.cost == pytest.approx(0.3)
    (minimised,) = [p for p in prices(c, parse_levels("c>=0.5@mean", NAMES)) if p.objective == "b"]
    assert minimised.cost == pytest.approx(0.4)  # positive where it costs, though b is minimised


def test_where_nothing_is_kept_there_is_no_price() -> None:
    c = candidates(np.full((2, 5, 3), 0.5))
    listed = prices(c, parse_levels("a>=0.7@mean;c>=0.4@mean", NAMES))
    assert {(p.level, p.objective): p.cost for p in listed} == dict.fromkeys(
        [(0, "b"), (0, "c"), (1, "a"), (1, "b")], None
    )
    assert listed[0].best_without == "p0"
    assert listed[0].best_with is None
    assert listed[0].to_json()["cost"] is None
