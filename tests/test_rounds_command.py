"""``pareto rounds``: what the options say, and what is printed. The rounds themselves: ``rounds/test_loop.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe
from pareto.rounds_command import feedback_of, outcome_text, overruled

RECIPE = read_recipe("sweeps/smoke.yaml")


def test_options_overrule_the_recipe_and_nothing_else_changes():
    found = overruled(RECIPE, {"count": 7}, {"annotator": "person", "budget": None, "choose": "infogain"})
    assert (found.rounds.count, found.rounds.labels.annotator, found.rounds.labels.choose) == (7, "person", "infogain")
    assert found.rounds.labels.budget == RECIPE.rounds.labels.budget
    assert found.model_dump(exclude={"rounds"}) == RECIPE.model_dump(exclude={"rounds"})
    assert overruled(RECIPE, {"count": None}, {"noise": None}) == RECIPE


def test_feedback_names_an_objective_and_a_file(tmp_path):
    file = tmp_path / "thumbs=up.jsonl"
    file.write_text("")
    assert feedback_of(RECIPE, f"vowels={file}") == ("vowels", file)
    for wrong, told in (
        (f"{file}", "vowels, digits"),
        ("vowels=nowhere.jsonl", "no file"),
        ("vowel=x", "vowels, digits"),
    ):
        with pytest.raises(ParetoError, match=told):
            feedback_of(RECIPE, wrong)


def test_waiting_questions_are_told_with_what_to_do():
    said = outcome_text({"name": "smoke", "rounds": [], "waiting": 12}, Path("runs"))
    assert said.count("\n") == 0
    assert said.startswith("12 questions wait for people")
    assert "`pareto label smoke-rounds`" in said
    assert said.endswith("then give the same command again")
