"""``pareto process``, from solutions to a model's folder and back."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import judges
import pytest
from forge import smoke_recipe
from typer.testing import CliRunner

from pareto.errors import ParetoError
from pareto.process_command import process_app
from pareto.prompts.arithmetic import corrupted, problems
from pareto.store.files import fingerprint

Process = Callable[..., str]


@pytest.fixture(scope="module")
def process() -> Process:
    """Runs a command in this process; standard output alone."""

    def run(*words: object) -> str:
        ended = CliRunner().invoke(process_app, [str(word) for word in words], catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("process")


@pytest.fixture(scope="module")
def solutions(folder: Path) -> Path:
    """Half of them go wrong somewhere."""
    rng = random.Random(0)
    with (folder / "solutions.jsonl").open("w") as file:
        for i, problem in zip(range(40), problems("command"), strict=False):
            text = corrupted(problem, rng)[0] if i % 2 else problem.worked
            file.write(json.dumps({"prompt": problem.text, "completion": text}) + "\n")
    return folder / "solutions.jsonl"


@pytest.fixture(scope="module")
def words(folder: Path, solutions: Path) -> list[object]:
    where = ["--out", folder / "model", "--cache", folder / "cache", "--model", "tiny-random"]
    return ["train", solutions, *where, "--steps", "20"]


@pytest.fixture(scope="module")
def trained(process: Process, words: list[object]) -> dict[str, Any]:
    return json.loads(process(*words, "--json"))


@pytest.fixture
def model(trained: dict[str, Any], folder: Path) -> Path:
    return folder / "model"


def test_train_reports_on_what_is_held_out(process: Process, words: list[object], trained: dict[str, Any]) -> None:
    assert (trained["base"], trained["head"], trained["how"], trained["notes"]) == ("tiny-random", "mlp", "min", [])
    assert trained["report"]["solutions"] == 10
    assert trained["report"]["always_right"]["f1"] == 0
    lines = process(*words).splitlines()
    assert lines[0].startswith("process reward model in ")
    assert lines[2].startswith("solutions, labelled steps (wrong)")
    assert any(line.startswith("  baseline: everything is right") for line in lines)


def test_labels_come_from_whom_they_are_said_to(
    process: Process, words: list[object], trained: dict[str, Any], folder: Path
) -> None:
    told = json.loads(process(*words, "--json", "--out", folder / "sparse", "--labels", "sparse:3"))
    every, third = (json.loads((folder / name / "process.json").read_text()) for name in ("model", "sparse"))
    assert 0 < third["labels"] < every["labels"]
    # What is learnt from fewer labels is measured by all of them.
    assert told["report"]["steps"] == trained["report"]["steps"]
    with pytest.raises(ParetoError, match="no 'labels'; give them"):
        process(*words, "--out", folder / "given", "--labels", "given")
    with pytest.raises(ParetoError, match="labels 'sparse:0': known are"):
        process(*words, "--out", folder / "given", "--labels", "sparse:0")


def test_score_tells_of_each_step(process: Process, model: Path, solutions: Path) -> None:
    told = json.loads(process("score", model, solutions, "--json"))
    assert len(told["solutions"]) == 40
    for row in told["solutions"]:
        assert row["reward"] == min(step["right"] for step in row["steps"])
    assert [step["verified"] for step in told["solutions"][0]["steps"]][-2:] == [True, None]
    lines = process("score", model, solutions).splitlines()
    assert len(lines) == 40 + sum(len(row["steps"]) for row in told["solutions"])
    assert sum("first wrong step" in line for line in lines) == sum(
        row["first_error"] is not None for row in told["solutions"]
    )


def test_eval_leaves_out_what_the_model_learnt_from(process: Process, model: Path, solutions: Path) -> None:
    told = json.loads(process("eval", model, solutions, "--json"))
    assert told["report"]["solutions"] == 10
    assert told["notes"] == ["30 of 40 solutions are of prompts that the model was trained on; left out"]
    assert process("eval", model, solutions).startswith("solutions, labelled steps (wrong)")


def test_bad_input_is_told_in_one_line(process: Process, model: Path, words: list[object], tmp_path: Path) -> None:
    def refused(*told: object) -> str:
        with pytest.raises(ParetoError) as e:
            process(*told)
        assert "\n" not in str(e.value)
        return str(e.value)

    assert "no such file of solutions" in refused("score", model, tmp_path / "none.jsonl")
    assert "not a process reward model" in refused("score", tmp_path, tmp_path / "none.jsonl")
    assert "--held-out 1" in refused(*words, "--held-out", "1")
    assert "--learning-rate 0" in refused(*words, "--learning-rate", "0")
    long = tmp_path / "long.jsonl"
    long.write_text(json.dumps({"prompt": "?", "completion": "x" * 600}) + "\n")
    assert "the context is 512; take it out" in refused("score", model, long)
    plain = tmp_path / "plain.jsonl"
    plain.write_text(json.dumps({"prompt": "?", "completion": "hello"}) + "\n")
    assert "no step has a label to judge the model by" in refused("eval", model, plain)
    assert "made of something else" in refused(*words, "--seed", "1")


def test_labels_are_written_kept_and_checked_by_people(
    process: Process, solutions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, part = tmp_path / "labelled.jsonl", tmp_path / "labelled.jsonl.part"
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(judges, "read", lambda body: (body["messages"][-1]["content"], "", ""))
    with judges.judge_server(lambda content, *_: "1" if len(content) % 2 else "0") as server:
        judge = {"url": server.url, "model": "m"}
        recipe = smoke_recipe(tmp_path, rounds={"labels": {"annotator": "judge", "judge": judge}})
        words = ["label", solutions, "--by", "judge", "--recipe", recipe, "--out", out]
        told = json.loads(process(*words, "--sample", "5", "--json"))
        assert len(server.asked) == told["solutions"] == 40
        assert 40 < told["labelled"] < told["steps"]
        assert not part.exists()
        # A labelling that was killed: what it has done is not asked again, what was cut short is.
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        out.unlink()
        begun = [json.dumps({"key": fingerprint([["judge", server.url, "m"], r["prompt"], r["completion"]]),
                             "labels": [[x, "judge:m"] for x in r["labels"]]}) for r in rows[:30]]  # fmt: skip
        part.write_text("\n".join([*begun, begun[0][:20]]))
        server.asked.clear()
        process(*words)
        assert len(server.asked) == 10
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows
    assert {row["labels"][0] for row in rows} == {False, True}
    people = tmp_path / "labelled.people.jsonl"
    sample = [json.loads(line) for line in people.read_text().splitlines()]
    assert {x for row in sample for x in row["labels"]} == {None}
    said = {row["completion"]: row["labels"] for row in rows}
    people.write_text("".join(json.dumps(row | {"labels": said[row["completion"]]}) + "\n" for row in sample))
    assert process("agree", out, people).startswith("100% of answers agree")
    trained = ["train", out, "--labels", "given", "--model", "tiny-random", "--steps", "5"]
    process(*trained, "--out", tmp_path / "model", "--cache", tmp_path / "cache")


def test_roll_outs_label_what_has_accepted_answers(process: Process, solutions: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in solutions.read_text().splitlines()[:3]]
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps(row | {"answers": ["no such"]}) + "\n" for row in rows))
    words = ["label", asked, "--model", "tiny-random", "--out", tmp_path / "out.jsonl", "--by"]
    told = json.loads(process(*words, "rollouts:2", "--json"))
    assert told["labelled"] == told["steps"]
    labels = [json.loads(line)["labels"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {x for of in labels for x in of} == {0.0}  # a random model reaches nothing
    (tmp_path / "out.jsonl").unlink()
    process(*words, "search:2")
    (tmp_path / "out.jsonl").rename(tmp_path / "searched.jsonl")
    labels = [json.loads(line)["labels"] for line in (tmp_path / "searched.jsonl").read_text().splitlines()]
    assert all(of == [False] + [None] * (len(of) - 1) for of in labels)
    for by, why in [("rollouts:0", "continuations from 1"), ("judge", "rounds.labels.judge"), ("luck", "known are")]:
        with pytest.raises(ParetoError, match=why):
            process(*words, by)
    with pytest.raises(ParetoError, match="no 'answers'"):
        process("label", solutions, "--out", tmp_path / "none.jsonl", "--by", "rollouts:2")


def test_labels_that_are_there_are_never_lost(process: Process, solutions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    words = ["label", solutions, "--by", "verified", "--out", out, "--sample", "3"]
    process(*words)
    with pytest.raises(ParetoError, match=r"out\.jsonl is there already"):
        process(*words)
    out.unlink()
    with pytest.raises(ParetoError, match=r"out\.people\.jsonl is there already"):
        process(*words)
    # What another labelling has begun, and perhaps paid for, stays.
    (tmp_path / "out.jsonl.part").write_text(json.dumps({"key": "other", "labels": [[True, "judge"]]}) + "\n")
    process(*words[:-2])
    assert "judge" in (tmp_path / "out.jsonl.part").read_text()
