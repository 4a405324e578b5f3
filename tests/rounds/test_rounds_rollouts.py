"""Which prompts and which policies a round rolls out."""

from __future__ import annotations

import numpy as np

from pareto.recipe_file import read_recipe
from pareto.records import Prompt, Rollout
from pareto.rounds.doubts import one_each
from pareto.rounds.rollouts import farthest, of_round

PROMPTS = [Prompt(str(i), f"prompt {i}", "mine") for i in range(40)]


def recipe(prompts: int):
    smoke = read_recipe("sweeps/smoke.yaml")
    return smoke.model_copy(update={"rounds": smoke.rounds.model_copy(update={"prompts": prompts})})


def test_every_round_asks_other_prompts_and_always_the_same_ones():
    first, second = (of_round(recipe(10), PROMPTS, number) for number in (1, 2))
    assert len(first) == len(set(first)) == 10
    assert first != second
    assert first == of_round(recipe(10), PROMPTS, 1)
    assert of_round(recipe(99), PROMPTS, 1) == PROMPTS


def test_policies_are_spread_over_the_front():
    line = np.array([[0.0, 1.0], [0.05, 0.95], [0.5, 0.5], [0.55, 0.45], [1.0, 0.0]])
    assert set(farthest(line, 3)) >= {0, 4}
    assert set(farthest(line, 3)) & {2, 3}
    assert farthest(line, 5) == farthest(line, 9) == [0, 1, 2, 3, 4]


def test_disagreement_is_tested_on_one_answer_per_prompt_the_policies_in_turn():
    found = [Rollout(p, 0, f"policy:{policy}", 0, "", (), 0.0) for policy in "ab" for p in "wxyz"]
    rows = one_each(found)
    assert [found[i].prompt_id for i in rows] == list("wxyz")
    assert [found[i].origin[-1] for i in rows] == list("abab")
