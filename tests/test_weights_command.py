"""``pareto weights`` and ``pareto chat --weights auto``, on a run whose policies suit some types of prompts."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import prompted_runs as runs
import pytest
from forge import Forge

from pareto.choice.levels import parse_levels
from pareto.choice.standing import keep
from pareto.records import Point
from pareto.store.points import load_points, save_point
from pareto.store.run import Run

if TYPE_CHECKING:
    from pareto.training.adapters import State

SUM = "What is 801 plus 1?"
HELLO = "Hello Zoe, feeling wet?"


@pytest.fixture(scope="module")
def learned(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict]:
    run = runs.make(tmp_path_factory.mktemp("weights"))
    return run, forge.run("weights", "learn", run.path, "--utility", runs.UTILITY, "--control", "1", "--json").json()


def test_learning_tells_what_it_gains_on_test(learned: tuple[Run, dict]) -> None:
    _, told = learned
    assert told["learned"]["prompts"] == told["test"]["prompts"] == 60
    assert set(told["learned"]["errors"]) == {"ridge", "mlp"}
    assert told["test"]["gain"]["low"] > 0
    assert told["test"]["control"]["gain"] == pytest.approx(0, abs=0.05)


def test_a_prompt_s_weights_are_shown_with_the_reason(forge: Forge, learned: tuple[Run, dict]) -> None:
    run, _ = learned
    told = forge.run("weights", "show", run.path, SUM, "--json").json()
    assert told["weights"]["short"] == 1.0
    assert told["types"] == {"sums": 10}
    assert [near["source"] for near in told["nearest"]] == ["sums"] * 3
    shown = forge.run("weights", "show", run.path, HELLO)
    assert shown.out.startswith("weights auto: warm=1.00 (soup-")
    assert "nearest prompts: 10 greetings" in shown.out


def test_chat_answers_at_the_weights_of_each_prompt(
    forge: Forge, learned: tuple[Run, dict], forged_run: tuple[Run, dict[str, State]], tmp_path: Path
) -> None:
    run = Run(shutil.copytree(learned[0].path, tmp_path / "prompted"))
    forged, _ = forged_run
    shutil.copytree(forged.adapters, run.adapters, dirs_exist_ok=True)
    keys = {"a": "a" * 16, "b": "b" * 16}
    for p in load_points(run):
        if p.kind == "soup":
            number = float(p.id.removeprefix("soup-"))
            save_point(run, dataclasses.replace(p, coefficients={"a": 1.0, "b": number / 9}, adapters=keys))
    refused = forge.run("chat", run.path, SUM, "--weights", "auto").line()
    assert "learned from other policies than run 'prompted' has now" in refused
    assert forge.run("weights", "learn", run.path, "--utility", runs.UTILITY).code == 0
    points = {p.id: p for p in load_points(run)}

    def chosen(prompt: str) -> Point:
        told = forge.run("chat", run.path, prompt, "--weights", "auto", "--max-new-tokens", "4", "--json")
        answer = told.json()
        assert f"({answer['point']}); " in told.err
        assert told.err.startswith("weights auto: ")
        assert answer["coefficients"] == points[answer["point"]].coefficients
        same = forge.run("chat", run.path, prompt, "--point", answer["point"], "--max-new-tokens", "4", "--json").json()
        assert same == answer
        return points[answer["point"]]

    before = chosen(HELLO)
    assert (before.weights or {})["warm"] == 1.0
    assert (chosen(SUM).weights or {})["short"] == 1.0
    keep(run, parse_levels("kind>=0.7@mean", run.recipe.names))
    after = chosen(HELLO)
    assert after.id != before.id
    assert points[after.id].mean["kind"] >= 0.7


def test_learned_text_for_people(forge: Forge, learned: tuple[Run, dict], tmp_path: Path) -> None:
    run = Run(shutil.copytree(learned[0].path, tmp_path / "prompted"))
    file = tmp_path / "wanted.jsonl"
    lines = [{"source": kind, "weights": {"kind": 0.5, "warm": 0.5}} for kind in runs.TYPES]
    file.write_text("\n".join(map(json.dumps, lines)))
    told = forge.run("weights", "learn", run.path, "--utility", file)
    assert told.code == 0, told.err
    assert "learned from 60 prompts and 6 policies by" in told.out
    assert "gain over fixed" in told.out


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["weights", "learn", "RUN", "--utility", "sums:short=2"], "sums to 2, not 1"),
        (["weights", "learn", "RUN", "--utility", "poems:short=1"], "no prompts of 'poems'"),
        (["weights", "show", "RUN", ""], "the prompt is empty"),
        (["chat", "RUN", "Hi", "--weights", "auto", "--point", "soup-0"], "give only one of"),
        (["export", "RUN", "--weights", "auto", "--out", "nowhere"], "weights auto: they depend on the prompt"),
        (["measure", "RUN", "--weights", "auto"], "weights auto: they depend on the prompt"),
    ],
)
def test_bad_input_is_one_clear_line(forge: Forge, learned: tuple[Run, dict], words: list[str], match: str) -> None:
    path = str(learned[0].path)
    assert match in forge.run(*(path if word == "RUN" else word for word in words)).line()


def test_without_learned_weights_it_says_how_to_get_them(forge: Forge, tmp_path: Path) -> None:
    run = runs.make(tmp_path, each=2)
    for words in (["weights", "show", run.path, SUM], ["chat", run.path, SUM, "--weights", "auto"]):
        assert "no learned weights yet; learn them with: pareto weights learn prompted" in forge.run(*words).line()
