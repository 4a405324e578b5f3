import math

import numpy as np
import pytest

from pareto.config import Objective
from pareto.errors import ParetoError
from pareto.objectives.load import Reward, load_reward
from pareto.objectives.score import Failure, score
from pareto.records import Prompt, Rollout

PROMPTS = [
    Prompt("a", "What is the capital of France?", "capitals", ("Paris",)),
    Prompt("a", "What is the capital of France?", "capitals", ("Paris",)),
    Prompt("b", "How was your day?", "people"),
]
ROLLOUTS = [
    Rollout("a", 0, "sampled", 1, "Paris.", (5, 6, 0), -1.0),
    Rollout("a", 1, "sampled", 2, "I don't know.", (5, 6, 7, 8, 0), -2.0),
    Rollout("b", 0, "sampled", 3, "It was fine.", (5, 6, 7, 8, 9, 9, 9, 9, 9, 9), -3.0),
]


def reward(function, name="mine", bounds=(-math.inf, math.inf)):
    return Reward(name, 1, bounds, function)


def run(*rewards):
    return score(rewards, PROMPTS, ROLLOUTS, max_new_tokens=10)


def test_scorers_of_the_catalogue_score_and_mask():
    rewards = [load_reward(Objective(name=n, reward=n)) for n in ("honest", "concise", "length")]
    scores = run(*rewards)
    np.testing.assert_allclose(scores.values, [[1, 0.8, 2], [0, 0.6, 4], [np.nan, 0, 10]])
    assert scores.values.dtype == np.float64
    assert scores.failures == []


def test_a_reward_gets_the_columns_of_its_rows():
    seen = {}

    def look(**columns):
        seen.update(columns)
        return [0.0] * 3

    run(reward(look))
    assert seen == {
        "prompts": [p.text for p in PROMPTS],
        "completions": [r.text for r in ROLLOUTS],
        "completion_ids": [[5, 6, 0], [5, 6, 7, 8, 0], [5, 6, 7, 8, 9, 9, 9, 9, 9, 9]],
        "answers": [("Paris",), ("Paris",), ()],
        "source": ["capitals", "capitals", "people"],
        "max_new_tokens": 10,
    }


def raises_on_fine(completions, **columns):
    if any("fine" in c for c in completions):
        raise RuntimeError("not on my watch")
    return [1.0] * len(completions)


def wrong_length(completions, **columns):
    return [1.0 for c in completions if "fine" not in c]


def ends_the_process(completions, **columns):
    if any("fine" in c for c in completions):
        raise SystemExit(0)
    return [1.0] * len(completions)


class Odd:
    def __float__(self):
        raise RuntimeError("no")


def last(value):
    return lambda completions, **columns: [value if "fine" in c else 1.0 for c in completions]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (raises_on_fine, "raised RuntimeError: not on my watch"),
        (wrong_length, "returned 0 values for 1 rows"),
        (last(math.nan), "returned nan"),
        (last(math.inf), "returned inf"),
        (last(7.0), "returned 7, outside its range 0 to 1"),
        (last("good"), "returned a str, not a number"),
        (ends_the_process, "raised SystemExit: 0"),
        (last(10**400), "returned a number too large to be told from infinity"),
        (last(Odd()), "returned a Odd, not a number"),
    ],
)
def test_a_failing_row_is_masked_and_reported_and_the_others_kept(function, reason):
    fine = reward(lambda completions, **columns: [0.5] * len(completions), "fine")
    scores = run(reward(function, bounds=(0, 1)), fine)
    np.testing.assert_array_equal(scores.values, [[1, 0.5], [1, 0.5], [np.nan, 0.5]])
    assert scores.failures == [Failure("mine", 2, reason)]


def test_none_is_a_mask_not_a_failure():
    scores = run(reward(lambda completions, **columns: [None] * len(completions)))
    assert np.isnan(scores.values).all()
    assert scores.failures == []


def test_numbers_of_other_kinds_are_numbers():
    scores = run(reward(lambda completions, **columns: np.array([1, 2, 3], dtype=np.float32)))
    assert scores.values[:, 0].tolist() == [1, 2, 3]


def test_a_reward_that_fails_on_every_row_is_broken():
    def broken(completions, **columns):
        raise KeyError("weights\nmissing")

    with pytest.raises(ParetoError, match="reward 'mine' fails on every row: raised KeyError") as caught:
        run(reward(broken))
    assert "\n" not in str(caught.value)


def test_what_the_user_can_put_right_is_not_hidden_in_rows():
    calls = []

    def missing(**columns):
        calls.append(1)
        raise ParetoError("pip install something")

    with pytest.raises(ParetoError, match="pip install something"):
        run(reward(missing))
    assert len(calls) == 1


def test_nothing_to_score_is_an_empty_table():
    assert score([reward(raises_on_fine)], [], [], max_new_tokens=10).values.shape == (0, 1)
