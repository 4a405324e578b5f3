import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.objectives.ensemble.checks import below_chance, check_members, check_pairs, check_scale
from pareto.objectives.ensemble.heads import Heads
from pareto.records import Pair

RNG = np.random.default_rng(0)


def test_members_that_say_the_same_are_refused():
    raw = RNG.normal(size=(50, 3))
    check_members(["a", "b", "c"], raw)
    raw[:, 2] = raw[:, 0]
    with pytest.raises(ParetoError, match="a and c are identical"):
        check_members(["a", "b", "c"], raw)


def test_a_member_that_says_nothing_is_untrained():
    raw = np.column_stack([RNG.normal(size=50), np.full(50, 3.0)])
    with pytest.raises(ParetoError, match="b scores everything the same: its head is untrained"):
        check_members(["a", "b"], raw)


def test_below_chance_is_told_from_bad_luck():
    targets = np.ones(40)
    # Of 40 pairs 13 right is below the Wilson interval of one half (upper end 0.48), 15 is not (0.53).
    margins = np.ones((40, 2))
    margins[13:, 0], margins[15:, 1] = -1, -1
    assert below_chance(margins, targets) == [True, False]


def test_only_a_foreign_member_can_be_mis_scaled():
    check_scale(["a", "b", "c"], [1, 1.2, 100], [False, False, False])
    with pytest.raises(ParetoError, match=r"c is mis-scaled: 100 of its units .* median is 1\.2;"):
        check_scale(["a", "b", "c"], [1, 1.2, 100], [False, False, True])


@pytest.mark.parametrize(("members", "held_out", "needed"), [(5, 0.25, 12), (5, 0.1, 30), (12, 0.25, 16)])
def test_as_many_prompts_as_are_needed_are_enough(members, held_out, needed):
    pairs = [Pair(f"p{i}", "a", "b") for i in range(needed)]
    check_pairs("kind", pairs, members, held_out)
    with pytest.raises(ParetoError, match=f"at least {needed} prompts"):
        check_pairs("kind", [*pairs[:-1], Pair("tie", "a", "b", target=0.5)], members, held_out)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ParetoError, match="comparison 0: weight"):
        check_pairs("kind", [Pair("p", "a", "b", weight=weight)], 2, 0.5)


def test_an_mlp_of_several_members_is_each_by_hand():
    k, hidden, width = 3, 4, 5
    tensors = {
        "inner": RNG.normal(size=(k, hidden, width)).astype(np.float32),
        "bias": RNG.normal(size=(k, hidden)).astype(np.float32),
        "outer": RNG.normal(size=(k, hidden)).astype(np.float32),
    }
    x = RNG.normal(size=(7, width)).astype(np.float32)
    found = Heads("mlp", tensors)(x)
    for m in range(k):
        by_hand = np.tanh(x @ tensors["inner"][m].T + tensors["bias"][m]) @ tensors["outer"][m]
        np.testing.assert_allclose(found[:, m], by_hand, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(Heads("mlp", tensors).take([2, 0])(x), found[:, [2, 0]], rtol=1e-5)
