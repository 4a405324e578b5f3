import subprocess
import sys

import pytest

from pareto.errors import ParetoError
from pareto.objectives.catalogue import CATALOGUE, entry, function

ROW = {
    "prompts": ["What is the capital of France?"],
    "completions": ["The capital of France is Paris."],
    "completion_ids": [[1, 2, 3, 4, 5, 6, 7, 0]],
    "answers": [("Paris",)],
    "source": ["capitals"],
    "max_new_tokens": 40,
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_scorer_takes_what_callers_pass_and_stays_in_its_range(name):
    (value,) = function(name)(**ROW)
    low, high = entry(name).range
    assert low <= value <= high


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_scorer_takes_what_trl_passes(name):
    row = ROW | {
        "prompts": [[{"role": "user", "content": ROW["prompts"][0]}]],
        "completions": [[{"role": "assistant", "content": ROW["completions"][0]}]],
        "answers": [["Paris"]],
        "max_new_tokens": [40],
        "trainer_state": None,
        "log_extra": None,
        "log_metric": None,
    }
    assert function(name)(**row) == function(name)(**ROW)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ParetoError, match="unknown reward 'harmles'; did you mean 'harmless'"):
        entry("harmles")


def test_loading_a_recipe_of_the_catalogue_imports_nothing_heavy():
    code = """
import sys
from pareto.config import Objective
from pareto.objectives.catalogue import CATALOGUE
from pareto.objectives.load import load_reward
from pareto.objectives import score
for name in CATALOGUE:
    load_reward(Objective(name=name, reward=name))
print([m for m in ("torch", "transformers", "sklearn", "sympy", "textstat", "vaderSentiment") if m in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
