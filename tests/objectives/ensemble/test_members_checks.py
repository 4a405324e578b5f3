import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.objectives.ensemble.checks import (
    below_chance,
    check_folder,
    check_members,
    check_pairs,
    check_scale,
    prompt_hash,
    unseen,
)
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


def test_one_of_a_thing_is_no_plural():
    with pytest.raises(ParetoError, match=r": 1 comparison of 1 prompt, ties aside, are too few: 1 member, 25% held"):
        check_pairs("kind", [Pair("p", "a", "b")], 1, 0.25)


@pytest.mark.parametrize("place", ["file", "file/under", "/proc/none/x", "/proc"])
def test_a_folder_that_cannot_be_made_or_written_is_refused(place, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ParetoError, match="no folder that can be written to: "):
        check_folder(tmp_path / place)
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_only_comparisons_of_unseen_prompts_are_left():
    pairs = [Pair(f"p{i}", "a", "b") for i in range(4)]
    assert unseen(pairs, {prompt_hash("other")}, "mine") == (pairs, None)
    left, line = unseen(pairs, {prompt_hash("p0"), prompt_hash("p2")}, "mine")
    assert [p.prompt for p in left] == ["p1", "p3"]
    assert line.startswith("mine: 2 of 4 comparisons are of prompts that the ensemble was trained or calibrated on")
    with pytest.raises(ParetoError, match=r"mine: 1 of 1 comparison .*nothing to judge it by"):
        unseen(pairs[:1], {prompt_hash("p0")}, "mine")
