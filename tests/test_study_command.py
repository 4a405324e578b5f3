"""``pareto study``: text, JSON, export, and one clear line for what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pareto.choice.user_study.duels import FILE
from pareto.choice.user_study.study import Study
from pareto.errors import ParetoError
from pareto.store.run import Run
from pareto.study_command import study_run

app = typer.Typer()
app.command("study")(study_run)


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def answered(root: Path) -> Path:
    study = Study.open(Run.open("smoke", root))
    for person in ("ann", "bob"):
        for k in range(6):
            study.record(study.next(person, seed=k).duel("left" if k % 2 else "tie", person))
    return root


def call(*arguments: object):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(done.exception, ParetoError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_text_names_everybody_and_how_they_agree(answered: Path) -> None:
    told = call("smoke", "--root", answered).stdout
    assert [line.split("  ")[0] for line in told.splitlines()[1:4]] == ["ann", "bob", "all together"]
    assert "of answers agree" in told
    assert "Go on: " in told or "You can stop: " in told


def test_json_holds_the_same(answered: Path) -> None:
    told = json.loads(call("smoke", "--root", answered, "--json").stdout)
    assert [p["person"] for p in told["people"]] == ["ann", "bob"]
    assert told["pooled"]["duels"] == 12
    assert sum(told["pooled"]["weights"].values()) == pytest.approx(1)
    assert told["agreement"]["questions"] >= 1


def test_one_person_and_their_answers(answered: Path, tmp_path: Path) -> None:
    out = tmp_path / "bob.jsonl"
    told = call("smoke", "--root", answered, "--person", "bob", "--export", out).stdout
    assert "ann" not in told
    assert "all together" not in told
    assert {json.loads(line)["person"] for line in out.read_text(encoding="utf-8").splitlines()} == {"bob"}


def test_a_run_without_answers_says_so(root: Path) -> None:
    told = call("smoke", "--root", root).stdout
    assert "No answer yet" in told
    assert "no overlap yet" in told


def test_a_torn_line_is_told(answered: Path) -> None:
    path = answered / "smoke" / FILE
    path.write_bytes(path.read_bytes()[:-30])
    done = call("smoke", "--root", answered)
    assert "1 torn line left out" in done.stderr


def test_what_is_wrong_is_one_line(answered: Path, root: Path) -> None:
    with pytest.raises(ParetoError, match="no answers of 'bop'; did you mean 'bob'"):
        call("smoke", "--root", answered, "--person", "bop")
    with pytest.raises(ParetoError, match=r"must end in \.jsonl"):
        call("smoke", "--root", answered, "--export", "x.txt")
