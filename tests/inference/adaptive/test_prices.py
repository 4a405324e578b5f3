import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.inference.adaptive.prices import Drawn, fit_price
from pareto.inference.adaptive.stopping import Stopping
from pareto.inference.adaptive.terms import Terms


def walked(rule: Stopping, row: np.ndarray, spread: float | None, chunk: int) -> int:
    """How many answers one draws who asks the rule after every chunk."""
    n = 0
    while n < rule.cap:
        n = min(n + chunk, rule.cap)
        if rule.enough(row[:n].tolist(), spread):
            break
    return n


@pytest.mark.parametrize(("chunk", "known"), [(1, True), (1, False), (3, True), (4, False)])
def test_orders_stop_where_one_who_asks_the_rule_does(chunk: int, known: bool) -> None:
    rng = np.random.default_rng(0)
    scores, spread = rng.normal(size=(3, 12)), rng.uniform(0.5, 2, size=3) if known else None
    drawn = Drawn.of(scores, 12, spread)
    caps = np.array([12, 7, 1])
    counts = drawn.counts(0.2, caps, Terms(cap=12, chunk=chunk))
    for i in range(20):
        for p in range(3):
            rule = Stopping(0.2, int(caps[p]))
            row = scores[p, drawn.picked[i, p]]
            assert counts[i, p] == walked(rule, row, None if spread is None else float(spread[p]), chunk)


@pytest.mark.parametrize("share", [0.8, 0.9, 0.98])
def test_a_fitted_price_keeps_the_share_on_fresh_draws_and_no_more(share: float) -> None:
    rng = np.random.default_rng(1)
    spread = np.exp(0.5 * rng.normal(size=200))
    price = fit_price(spread[:, None] * rng.normal(size=(200, 64)), 16, share, spread=spread)
    fresh = spread[:, None, None] * rng.normal(size=(200, 5, 16))
    stopped, fixed = [], fresh[..., :8].max(axis=2).mean()
    rule = Stopping(price, 16)
    for p in range(200):
        for row in fresh[p]:
            stopped.append(row[: walked(rule, row, float(spread[p]), 1)].max())
    assert np.mean(stopped) / fixed == pytest.approx(share, abs=0.03)


def test_a_greater_share_costs_a_lower_price() -> None:
    scores = np.random.default_rng(2).normal(size=(30, 32))
    prices = [fit_price(scores, 16, share) for share in (0.7, 0.9, 0.98, 1.0)]
    assert prices == sorted(prices, reverse=True)
    assert prices[0] > prices[-1] > 0


def test_where_the_cap_keeps_less_nothing_may_stop_it() -> None:
    assert fit_price(np.random.default_rng(3).normal(size=(10, 16)), cap=2) == 0


def test_answers_that_never_differ_are_no_error() -> None:
    assert fit_price(np.ones((5, 16)), cap=16) == 0


@pytest.mark.parametrize(
    ("shape", "cap", "share", "told"),
    [
        ((4, 8), 16, 0.98, "16 answers"),
        ((4, 16), 8, 1.2, "share of 1.2"),
        ((4, 16), 0, 0.9, "1 or more"),
        ((16,), 8, 0.9, "wanted"),
    ],
)
def test_what_cannot_be_fitted_is_refused(shape: tuple[int, ...], cap: int, share: float, told: str) -> None:
    with pytest.raises(ParetoError, match=told):
        fit_price(np.ones(shape), cap, share)
