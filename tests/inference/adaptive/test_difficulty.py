import json
from pathlib import Path

import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.inference.adaptive.allocation import allocate
from pareto.inference.adaptive.difficulty import Difficulty

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def prompts(p: int, s: int, seed: int, slope: float = 0.7) -> Arrays:
    """Unit features, true spreads that follow one direction of them, and Gaussian utilities."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(p, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    spread = np.exp(slope * 4 * x[:, 0])
    return x, spread, rng.normal(size=(p, 1)) + spread[:, None] * rng.normal(size=(p, s))


def test_it_predicts_prompts_that_it_has_not_seen() -> None:
    x, _, scores = prompts(200, 8, seed=0)
    difficulty = Difficulty.fit(x, scores)
    there, spread, _ = prompts(200, 8, seed=1)
    predicted = difficulty.predict(there)
    assert np.corrcoef(np.log(predicted), np.log(spread))[0, 1] > 0.95
    assert predicted.mean() == pytest.approx(spread.mean(), rel=0.15)
    assert difficulty.skilled
    assert 0.5 < difficulty.skill < difficulty.ceiling < 1


@pytest.mark.parametrize("seed", range(8))
def test_where_nothing_is_to_be_learnt_all_prompts_get_the_mean_spread(seed: int) -> None:
    x, _, scores = prompts(100, 8, seed, slope=0.0)
    difficulty = Difficulty.fit(x, scores)
    predicted = difficulty.predict(x)
    assert not difficulty.skilled
    assert difficulty.skill < 0.1
    np.testing.assert_allclose(predicted, scores.std(axis=1, ddof=1).mean())
    assert set(allocate(predicted, 8, cap=16).tolist()) == {8}


def test_prompts_whose_answers_all_tie_are_the_easy_ones() -> None:
    x, _, scores = prompts(100, 4, seed=3, slope=0.0)
    easy = x[:, 0] < 0
    scores[easy] = 1.0
    predicted = Difficulty.fit(x, scores).predict(x)
    assert np.isfinite(predicted).all()
    assert predicted[easy].mean() < 0.6 * predicted[~easy].mean()


def test_answers_that_never_differ_are_no_error() -> None:
    difficulty = Difficulty.fit(np.eye(10), np.ones((10, 4)))
    assert allocate(difficulty.predict(np.eye(10)), 4, cap=8).tolist() == [4] * 10
    assert difficulty.skill == 0


def test_it_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    x, _, scores = prompts(60, 6, seed=4)
    difficulty = Difficulty.fit(x, scores)
    difficulty.save(tmp_path / "difficulty.json")
    assert Difficulty.load(tmp_path / "difficulty.json") == difficulty


@pytest.mark.parametrize(
    "damage",
    [lambda d: {"schema": 99}, lambda d: {"coefficients": None}, lambda d: {"intercept": None}, lambda d: {"more": 1}],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    x, _, scores = prompts(20, 3, seed=5)
    path = tmp_path / "difficulty.json"
    Difficulty.fit(x, scores).save(path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | damage(data)))
    with pytest.raises(ParetoError, match=r"difficulty\.json: .*fit it again"):
        Difficulty.load(path)


def test_what_cannot_be_learnt_from_is_refused() -> None:
    x, _, scores = prompts(20, 3, seed=6)
    with pytest.raises(ParetoError, match="wanted 10 with 2"):
        Difficulty.fit(x[:9], scores[:9])
    with pytest.raises(ParetoError, match="wanted 10 with 2"):
        Difficulty.fit(x, scores[:, :1])
    with pytest.raises(ParetoError, match="NaN"):
        Difficulty.fit(x, np.where(scores > 1, np.nan, scores))
    with pytest.raises(ParetoError, match="16"):
        Difficulty.fit(x, scores).predict(x[:, :5])
