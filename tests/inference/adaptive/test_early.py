import json

import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.inference.adaptive.early import evaluate_passes, evaluate_rejection
from pareto.inference.adaptive.pool import Pool
from pareto.inference.adaptive.terms import Terms


def test_stopping_at_the_first_pass_draws_until_it_and_keeps_the_success() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(size=400)
    passes = rng.random((400, 64)) < chance[:, None]
    told = evaluate_passes(passes, np.full(passes.shape, 30.0), n=8)
    # Independent draws that pass with p: expected number of them until a pass, 8 at most, is (1 − (1 − p)^8) / p.
    wanted = (1 - (1 - chance) ** 8) / chance
    assert told["tokens"] == pytest.approx(30 * wanted.mean(), rel=0.05)
    assert told["success"] == pytest.approx((1 - (1 - chance) ** 8).mean(), abs=0.01)
    assert told["tokens_saved"]["low"] > 0.4
    json.dumps(told, allow_nan=False)


def test_it_saves_nothing_where_nothing_passes() -> None:
    told = evaluate_passes(np.zeros((10, 8)), np.ones((10, 8)))
    assert told["success"] == 0
    assert told["verdict"].startswith("saves nothing")


def test_beginnings_that_tell_the_end_save_tokens_on_other_prompts() -> None:
    rng = np.random.default_rng(1)
    utility = rng.normal(size=(60, 32))
    pool = Pool(utility, np.full(utility.shape, 40.0))
    prefixes = {10: utility + 0.3 * rng.normal(size=utility.shape), 20: utility + 0.1 * rng.normal(size=utility.shape)}
    told = evaluate_rejection(prefixes, pool)
    assert told["tokens_saved"]["low"] > 0.3
    assert told["gain_share"]["value"] > 0.97
    assert told["over_even"]["low"] > 0
    assert told["correlation"]["20"] > told["correlation"]["10"] > 0.9
    json.dumps(told, allow_nan=False)


def test_beginnings_that_tell_nothing_reject_nobody() -> None:
    rng = np.random.default_rng(2)
    pool = Pool(rng.normal(size=(60, 32)), np.full((60, 32), 40.0))
    told = evaluate_rejection({10: rng.normal(size=(60, 32)), 20: np.zeros((60, 32))}, pool)
    assert [rule["keep"] for rule in told["rules"]] == [1.0, 1.0]
    assert told["correlation"]["20"] is None
    assert told["verdict"].startswith("saves nothing")


def test_what_does_not_fit_together_is_refused() -> None:
    pool = Pool(np.ones((8, 8)), np.ones((8, 8)))
    with pytest.raises(ParetoError, match="beginnings of 10 tokens"):
        evaluate_rejection({10: np.ones((8, 7))}, pool)
    with pytest.raises(ParetoError, match="16 answers"):
        evaluate_rejection({10: np.ones((8, 8))}, pool, Terms(against=16))
    with pytest.raises(ParetoError, match="9 answers"):
        evaluate_passes(np.ones((8, 8)), np.ones((8, 8)), n=9)
