"""Recipes: what is right survives, what is wrong is told with its line and column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pareto.config import Recipe, suggest
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe
from pareto.store.run import Run

SMOKE = (Path(__file__).parents[1] / "sweeps" / "smoke.yaml").read_text(encoding="utf-8")


def told(tmp_path: Path, text: str) -> str:
    """What is said of a recipe, without its path."""
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParetoError) as e:
        read_recipe(path)
    return "\n".join(line.removeprefix(f"{path}:") for line in str(e.value).splitlines())


def place(text: str, part: str, occurrence: int = 1) -> str:
    """``line:column``, from 1, of a part of a text."""
    at = -1
    for _ in range(occurrence):
        at = text.index(part, at + 1)
    return f"{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


@pytest.mark.parametrize(
    ("right", "wrong", "at", "says"),
    [
        ("driver:", "drivr:", "drivr", "unknown key 'drivr'; did you mean 'driver'?"),
        ("steps_from_soup:", "steps_from_soop:", "steps_from_soop", "did you mean 'steps_from_soup'?"),
        ("rank: 4", "rnak: 4", "rnak", "unknown key 'rnak'; did you mean 'rank'?"),
        ("{base: tiny-random,", "{bass: tiny-random,", "bass", "did you mean 'base'?"),
        ("name: smoke", "name: ../smoke", "name: ../", "should match pattern"),
        ("name: digits", "name: a/../b", "name: a/", "should match pattern"),
        (
            "name: digits",
            "name: vowels",
            'name: vowels, reward: "sweeps.rewards:digits',
            "two objectives are named 'vowels'",
        ),
        ("trials: 4", "trials: 0", "trials: 0", "greater than or equal to 1"),
        ("rank: 4", "rank: four", "rank: four", "valid integer"),
        ("family: lattice", "family: latice", "family", "'lattice', 'optuna', 'pymoo' or 'adaptive'"),
        ("[0.4, 0.2, 0.4]", "[0.4, 0.2, 0.5]", "fractions", "sum to 1, these sum to 1.1"),
        (
            "packaged: sums,",
            "packaged: sums, file: x.jsonl,",
            "{packaged: sums",
            "exactly one of: packaged, file, dataset",
        ),
        ("gold: [fluency", "gold: ['a.b:c'", "'a.b:c'", "should match pattern"),
        ("temperature: 1.0", "temperature: .nan", "temperature", "greater than 0"),
    ],
)
def test_a_mistake_is_told_where_it_stands(tmp_path, right, wrong, at, says):
    assert right in SMOKE
    text = SMOKE.replace(right, wrong)
    lines = told(tmp_path, text).splitlines()
    assert any(line.startswith(place(text, at) + ": ") and says in line for line in lines), lines


@pytest.mark.parametrize(
    ("added", "at", "says"),
    [
        (
            "priorities: [{objective: vowel, at_least: 1}]\n",
            "objective: vowel",
            "unknown objective 'vowel'; did you mean 'vowels'?",
        ),
        ("seed: 1\nseed: 2\n", "seed: 2", 'duplicate key "seed"'),
        ("seed: [1\n", None, "not valid YAML"),
        ("seed: !!python/object:os.system x\n", "seed", "valid integer"),
        ("--- \nname: x\n", "---", "another document"),
    ],
)
def test_an_added_mistake_is_told_where_it_stands(tmp_path, added, at, says):
    text = SMOKE + added
    said = told(tmp_path, text)
    assert says in said
    assert "\n" not in said
    if at:
        assert said.startswith(place(text, at) + ": ")


def test_an_unknown_objective_under_a_system_prompt_is_told_where_it_stands(tmp_path):
    text = SMOKE.replace(
        "demonstrations: 1}", "demonstrations: 1, system_prompts: [{objective: digit, text: a, per_prompt: 1}]}"
    )
    assert told(tmp_path, text).startswith(place(text, "objective: digit") + ": rollouts.system_prompts.0.objective: ")


@pytest.mark.parametrize(
    ("text", "says"), [("", "a mapping"), ("- a\n", "a mapping"), ("name: \x00\n", "not valid YAML")]
)
def test_what_is_no_recipe_is_told_in_one_line(tmp_path, text, says):
    said = told(tmp_path, text)
    assert says in said
    assert "\n" not in said


def test_a_missing_key_is_named(tmp_path):
    assert "the key 'name' is missing" in told(tmp_path, SMOKE.replace("name: smoke", ""))
    assert "model.base: the key 'base' is missing" in told(tmp_path, SMOKE.replace("base: tiny", "system: tiny"))


def test_one_mistake_in_an_item_of_a_list_is_told_once(tmp_path):
    text = SMOKE.replace("{name: digits,", "{name: digits, directoin: minimize,")
    said = told(tmp_path, text)
    assert (
        said
        == f"{place(text, 'directoin')}: objectives.1.directoin: unknown key 'directoin'; did you mean 'direction'?"
    )
    # A list that is too short by itself is told.
    line = next(line for line in SMOKE.splitlines() if "name: digits" in line)
    assert "objectives: Tuple should have at least 2 items" in told(tmp_path, SMOKE.replace(line, ""))


def test_several_mistakes_are_told_at_once(tmp_path):
    text = SMOKE.replace("trials: 4", "trials: 0").replace("count: 2", "count: -1")
    first, second = told(tmp_path, text).splitlines()
    assert first.startswith(place(text, "trials: 0"))
    assert second.startswith(place(text, "count: -1"))


def test_searching_needs_optuna(tmp_path):
    text = SMOKE.replace("trials: 4}", "trials: 4, search: {beta: [0.01, 1]}}")
    assert "driver.search needs family: optuna" in told(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ParetoError, match="no such recipe"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(ParetoError, match="cannot be read as text"):
        read_recipe(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ParetoError, match="cannot be read as text"):
        read_recipe(tmp_path / "latin.yaml")


def test_numbers_and_words_mean_what_they_look_like(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        SMOKE.replace("learning_rate: 1.0e-2", "learning_rate: 1e-5, method: dpo").replace(
            "trials: 4", "trials: 4, options: {n: no}"
        )
    )
    recipe = read_recipe(path)
    assert recipe.training.learning_rate == 0.00001
    assert recipe.driver.options == {"n": "no"}  # YAML 1.1 would read False


# What people write: no control characters or exotic line ends, which the YAML library itself does not dump faithfully.
WRITTEN = st.characters(exclude_categories=("C", "Zl", "Zp"))

names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,20}", fullmatch=True)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(WRITTEN, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(WRITTEN, max_size=8), inner, max_size=3),
    max_leaves=5,
)
positive = st.floats(1e-6, 1e6)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    objectives = draw(st.lists(names, min_size=2, max_size=4, unique=True))
    family = draw(st.sampled_from(["lattice", "optuna", "pymoo"]))
    low = draw(positive)
    search = {"beta": (low, low * 2)} if family == "optuna" else {}
    return Recipe.model_validate(
        {
            "name": draw(names),
            "seed": draw(st.integers(-1000, 2**40)),
            "model": {"base": draw(st.text(WRITTEN, max_size=10)), "system": draw(st.text(WRITTEN, max_size=20))},
            "prompts": {
                "sources": [
                    draw(st.sampled_from([{"packaged": "sums"}, {"file": "a b/c.jsonl"}, {"dataset": "x/y"}]))
                    | {"take": draw(st.none() | st.just({"train": 1, "validation": 2, "test": 3}))}
                ]
            },
            "objectives": [
                {
                    "name": name,
                    "reward": draw(st.text(WRITTEN, max_size=10)),
                    "direction": draw(st.sampled_from(["maximize", "minimize"])),
                    "range": draw(st.none() | st.tuples(positive, positive)),
                    "options": draw(st.dictionaries(st.text(WRITTEN, max_size=8), plain, max_size=3)),
                }
                for name in objectives
            ],
            "gold": draw(st.lists(names, max_size=3)),
            "sampling": {"temperature": draw(positive), "batch_size": draw(st.just("auto") | st.integers(1, 64))},
            "training": {"learning_rate": draw(positive), "lora": {"layers": draw(st.none() | st.integers(1, 40))}},
            "driver": {"family": family, "trials": draw(st.integers(1, 99)), "search": search},
            "priorities": [
                {"objective": name, "at_least": draw(st.floats(-9, 9))}
                for name in draw(st.sets(st.sampled_from(objectives)))
            ],
        }
    )


@given(recipes())
def test_a_recipe_survives_dump_and_reload(recipe):
    text = json.dumps(recipe.model_dump(mode="json"))
    assert Recipe.model_validate(json.loads(text)) == recipe


@settings(max_examples=20)  # the YAML library takes its time
@given(recipes())
def test_a_recipe_survives_a_recipe_file(tmp_path_factory, recipe):
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(recipe.model_dump(mode="json"), file)
    assert read_recipe(path) == recipe


def test_a_run_keeps_the_recipe_as_it_was_read(tmp_path):
    (tmp_path / "r.yaml").write_text(
        SMOKE.replace("range: [0, 1]}", "range: [0, 1], options: {a: {b: [1, 0x10, 1.0]}}}", 1)
    )
    recipe = read_recipe(tmp_path / "r.yaml")
    assert recipe.objectives[0].options == {"a": {"b": [1, 16, 1.0]}}
    assert Run.create(tmp_path / "runs", recipe).recipe == recipe
    assert Run.open("smoke", tmp_path / "runs").recipe == recipe


def test_a_hint_names_the_nearest_word_or_all():
    assert suggest("harmles", ["harmless", "honest"]) == "did you mean 'harmless'?"
    assert suggest("zzz", ["harmless", "honest"]) == "known: harmless, honest"
