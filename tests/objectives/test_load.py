import sys

import pytest

from pareto.config import Objective
from pareto.errors import ParetoError
from pareto.objectives.load import load_reward

MODULE = """
def vowels(prompts, completions, letters="aeiou", **columns):
    return [sum(c in letters for c in text) for text in completions]

def bare(prompts, completions):
    return [0.0]

async def slow(prompts, completions, **columns):
    return [0.0]

constant = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current directory with reward modules of the user's own."""
    (tmp_path / "house_rewards.py").write_text(MODULE)
    (tmp_path / "broken_rewards.py").write_text("1 / 0")
    (tmp_path / "needy_rewards.py").write_text("import no_such_dependency")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def load(reward, **keys):
    return load_reward(Objective(name="mine", reward=reward, **keys))


def test_a_scorer_of_the_catalogue_brings_its_direction_and_range():
    assert (load("harmless").sign, load("harmless").range) == (1, (0, 1))
    assert (load("length").sign, load("length").range) == (-1, (0, float("inf")))


def test_the_recipe_may_declare_otherwise():
    kept = Objective.model_validate_json(Objective(name="it", reward="length").model_dump_json())
    assert load_reward(kept).sign == -1  # a run keeps its recipe as JSON
    reward = load("length", direction="maximize", range=(0, 40))
    assert (reward.sign, reward.range) == (1, (0, 40))


def test_a_users_function_is_found_in_the_current_directory_and_takes_options(here):
    reward = load("house_rewards:vowels", options={"letters": "e"}, direction="minimize")
    assert reward.function(prompts=[""] * 2, completions=["feed me", "no"], source=["", ""]) == [3, 0]
    assert reward.sign == -1
    assert reward.range == (float("-inf"), float("inf"))


def test_trl_logs_the_reward_under_the_objectives_name(here):
    assert load("house_rewards:vowels").function.__name__ == "mine"


def test_options_reach_a_scorer_of_the_catalogue(tmp_path):
    reward = load("helpful", options={"encoder": str(tmp_path)})
    with pytest.raises(ParetoError, match="cannot be loaded"):
        reward.function(prompts=["Hello"], completions=["Good day"])


def test_a_reward_model_is_loaded_with_its_label(classifier):
    folder = classifier(["rude", "kind"])
    reward = load(f"model:{folder}", options={"label": "kind"})
    (kind,) = reward.function(prompts=["hello"], completions=["hello"], completion_ids=[[1]], source=[""])
    (rude,) = load(f"model:{folder}", options={"label": 0}).function(prompts=["hello"], completions=["hello"])
    assert kind + rude == pytest.approx(1)
    assert reward.range == (0, 1)


@pytest.mark.parametrize(
    ("reward", "options", "message"),
    [
        ("harmles", {}, "did you mean 'harmless'"),
        ("concise", {"cap": 3}, "has no option 'cap'; it takes none"),
        ("helpful", {"encodr": "x"}, "has no option 'encodr'; did you mean 'encoder'"),
        ("concise", {"max_new_tokens": 3}, "has no option 'max_new_tokens'"),
        ("no_such_rewards:f", {}, "no module 'no_such_rewards'"),
        ("needy_rewards:f", {}, "needs 'no_such_dependency', which is not installed"),
        ("broken_rewards:f", {}, "importing 'broken_rewards' raised ZeroDivisionError: division by zero"),
        ("house_rewards:vowel", {}, "has no function 'vowel'; did you mean 'vowels'"),
        ("house_rewards:constant", {}, "'constant' is a int, not a function"),
        ("house_rewards:bare", {}, r"'\*\*columns' is missing"),
        ("house_rewards:slow", {}, "'slow' is async"),
        ("house_rewards:vowels", {"answers": 1}, "has no option 'answers'"),
        ("model:nowhere", {"labels": 1}, "has no option 'labels'; did you mean 'label'"),
    ],
)
def test_mistakes_are_one_clear_line(here, reward, options, message):
    with pytest.raises(ParetoError, match=message) as caught:
        load(reward, options=options)
    assert str(caught.value).startswith("objective 'mine': ")
    assert "\n" not in str(caught.value)
