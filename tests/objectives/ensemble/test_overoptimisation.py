from itertools import combinations

import numpy as np
import pytest

from pareto.objectives.ensemble.overoptimisation import best_of_n, kl_best_of


def test_best_of_n_is_the_mean_over_all_subsets() -> None:
    rng = np.random.default_rng(0)
    proxy, gold = rng.normal(size=(3, 7)), rng.normal(size=(3, 7))
    curve = best_of_n(proxy, gold, (1, 2, 5, 7))
    for at, n in enumerate(curve.n):
        subsets = list(combinations(range(7), n))
        for p in range(3):
            picked = [max(s, key=lambda i: proxy[p, i]) for s in subsets]
            assert curve.gold[p, at] == pytest.approx(np.mean([gold[p, i] for i in picked]))
            assert curve.proxy[p, at] == pytest.approx(np.mean([proxy[p, i] for i in picked]))


def test_a_perfect_proxy_loses_nothing_and_a_reversed_one_everything() -> None:
    gold = np.random.default_rng(1).normal(size=(50, 64))
    n = (1, 4, 16, 64)
    assert best_of_n(gold, gold, n).loss() == 0
    worst = best_of_n(-gold, gold, n)
    assert worst.loss() == pytest.approx(gold.mean() - gold.min(axis=1).mean())


def test_the_kl_of_best_of_n() -> None:
    assert kl_best_of([1, 2, 64]) == pytest.approx([0, np.log(2) - 0.5, np.log(64) - 63 / 64])
