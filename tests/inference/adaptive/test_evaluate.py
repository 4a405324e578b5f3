import json

import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.inference.adaptive.evaluate import evaluate
from pareto.inference.adaptive.pool import Pool
from pareto.inference.adaptive.terms import Terms

RULES = ("stopping", "allocation", "both", "learned")


def pool(seed: int = 0, tau: float = 0.8, prompts: int = 96, samples: int = 32) -> Pool:
    """Gaussian utilities of log-normal spreads that are known."""
    rng = np.random.default_rng(seed)
    spread = np.exp(tau * rng.normal(size=prompts))
    utility = rng.normal(size=(prompts, 1)) + spread[:, None] * rng.normal(size=(prompts, samples))
    return Pool(utility, rng.integers(20, 41, size=utility.shape).astype(float), spread)


def test_unequal_prompts_are_worth_adapting_to() -> None:
    told = evaluate(pool())
    for name in RULES:
        rule = told["rules"][name]
        assert rule["tokens_saved"]["low"] > 0.05
        assert rule["gain_share"]["value"] > 0.97
        assert rule["over_random"]["low"] > 0
        assert rule["over_even"]["low"] > 0
        assert rule["from_difficulty"]["low"] > 0
        assert rule["verdict"].startswith("saves ")
        assert "nothing" not in rule["verdict"]
    json.dumps(told, allow_nan=False)


def test_on_equal_prompts_difficulty_saves_nothing() -> None:
    equal = pool(tau=0.0)
    rules = evaluate(equal)["rules"]
    assert rules["allocation"]["tokens_saved"] == {"value": 0, "low": 0, "high": 0}
    assert rules["allocation"]["verdict"].startswith("saves nothing")
    for name in RULES:
        assert rules[name]["from_difficulty"]["low"] <= 0 <= rules[name]["from_difficulty"]["high"] + 1e-3
        assert "saves nothing" in rules[name]["verdict"]


def test_whoever_trusts_a_spread_that_is_not_there_saves_nothing() -> None:
    rules = evaluate(pool().equalised(), rules=("allocation",))["rules"]
    assert rules["allocation"]["over_even"]["high"] < 0
    assert rules["allocation"]["verdict"].startswith("saves nothing")
    assert rules["allocation"]["from_difficulty"]["value"] == pytest.approx(0, abs=1e-9)


def test_equalised_prompts_have_the_same_curve() -> None:
    gains = pool().equalised().gains
    np.testing.assert_allclose(gains, np.broadcast_to(gains[0], gains.shape), atol=1e-12)


def test_the_gain_over_random_is_of_difficulty_and_of_luck() -> None:
    for rule in evaluate(pool(prompts=24))["rules"].values():
        parts = rule["from_difficulty"]["value"] + rule["from_luck"]["value"]
        assert rule["over_random"]["value"] == pytest.approx(parts)


def test_without_a_predicted_spread_only_stopping_is_measured() -> None:
    known = pool(prompts=24)
    assert set(evaluate(Pool(known.utility, known.tokens))["rules"]) == {"stopping", "learned"}


def test_looking_less_often_saves_less() -> None:
    often, seldom = (evaluate(pool(), Terms(chunk=chunk), ("stopping",))["rules"]["stopping"] for chunk in (1, 4))
    assert often["tokens_saved"]["value"] > seldom["tokens_saved"]["value"]


def test_answers_that_never_differ_are_no_error() -> None:
    told = evaluate(Pool(np.full((8, 16), 0.1), np.ones((8, 16)), np.zeros(8)))
    json.dumps(told, allow_nan=False)
    assert told["fixed"]["gain"] == 0


@pytest.mark.parametrize(("prompts", "samples", "told"), [(3, 32, "at least 4"), (8, 12, "16 answers")])
def test_too_little_to_measure_on_is_refused(prompts: int, samples: int, told: str) -> None:
    with pytest.raises(ParetoError, match=told):
        evaluate(pool(prompts=prompts, samples=samples))


def test_a_pool_that_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ParetoError, match="wanted \\(prompts, samples\\)"):
        Pool(np.ones((4, 8)), np.ones((4, 7)))
    with pytest.raises(ParetoError, match="NaN"):
        Pool(np.full((4, 8), np.nan), np.ones((4, 8)))
    with pytest.raises(ParetoError, match="4 prompts"):
        Pool(np.ones((4, 8)), np.ones((4, 8)), np.ones(3))
