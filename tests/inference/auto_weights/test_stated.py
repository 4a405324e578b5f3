"""Stated utilities: by type, from a file, from a user study; what is wrong is told with its place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import prompted_runs as runs
import pytest

from pareto.choice.user_study.duels import Duel, append
from pareto.errors import ParetoError
from pareto.inference.auto_weights.stated import Stated
from pareto.records import Prompt
from pareto.store.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return runs.make(tmp_path_factory.mktemp("stated"), each=3)


def prompt(kind: str, text: str = "?") -> Prompt:
    return Prompt("id", text, kind)


def test_the_most_particular_counts(run: Run, tmp_path: Path) -> None:
    found = Stated.read(run, "sums:short=1; kind=.5,warm=.5")
    told = found.of([prompt("sums"), prompt("greetings"), prompt("never seen")], 3)
    assert told.tolist() == [[0, 1, 0], [0.5, 0, 0.5], [0.5, 0, 0.5]]
    file = tmp_path / "wanted.jsonl"
    lines = [{"source": "sums", "weights": {"short": 1}}, {"prompt": "What is 2 plus 2?", "weights": {"warm": 1.0}}]
    file.write_text("\n".join(map(json.dumps, lines)))
    found = Stated.read(run, str(file))
    told = found.of([prompt("sums"), prompt("sums", "What is 2 plus 2?"), prompt("greetings")], 3)
    assert told[:2].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert np.isnan(told[2]).all()
    assert Stated.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "nothing is stated"),
        ("sums:short=1", "nothing for 'greetings'; add greetings:NAME=W"),
        ("sum:short=1;kind=1", "no prompts of 'sum'; did you mean 'sums'"),
        ("sums:shorts=1;kind=1", "unknown objective 'shorts'"),
        ("sums:short=.5;kind=1", "sums to 0.5, not 1"),
        ("sums:short=1;sums:kind=1;kind=1", "'sums' is given twice"),
        ("kind=1;warm=1", "two parts without a type"),
        ("sums;kind=1", "'sums' is not name=number"),
        ("nowhere.jsonl", "no such file of utilities"),
        ("duels", "fewer than 10 answers"),
        ("duels:eve", "no answers of 'eve'; nobody has answered yet"),
    ],
)
def test_bad_text_is_told(run: Run, text: str, match: str) -> None:
    with pytest.raises(ParetoError, match=match):
        Stated.read(run, text)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("{", "not JSON"),
        ('{"prompt": "a"}', "no column 'weights'"),
        ('{"weights": {"kind": 1}}', "no column 'source'"),
        ('{"prompt": 3, "weights": {"kind": 1}}', "'prompt' must be text"),
        ('{"prompt": "a", "weights": [1]}', "weights are"),
        ('{"prompt": "a", "weights": {"kind": true}}', "weights are"),
        ('{"prompt": "a", "weights": {"kind": -1, "short": 2}}', "negative"),
        ('{"prompt": "a", "weights": {"kind": NaN}}', "not a finite number"),
        ('{"source": "poems", "weights": {"kind": 1}}', "no prompts of 'poems'"),
        ('{"prompt": "ok", "weights": {"kind": 1}}', "'ok' is given twice"),
    ],
)
def test_a_bad_line_is_told_with_its_place(run: Run, tmp_path: Path, line: str, match: str) -> None:
    file = tmp_path / "wanted.jsonl"
    file.write_text('{"prompt": "ok", "weights": {"kind": 1}}\n' + line + "\n")
    with pytest.raises(ParetoError, match=match) as told:
        Stated.read(run, str(file))
    assert f"{file}:2" in str(told.value)


def test_answers_of_people_become_weights_of_a_type_where_there_are_enough(tmp_path: Path) -> None:
    run = runs.make(tmp_path, each=3)
    rng = np.random.default_rng(0)
    for kind, wanted in (("sums", 1), ("greetings", 2)):
        for k in range(30 if kind == "sums" else 12):
            d = rng.standard_normal(3)
            answer = "left" if d[wanted] > 0 else "right"
            append(
                run,
                Duel(
                    "prompted", f"{kind}-validation-{k % 3}", "?", "a", "b", "x", str(k), 0, 0, tuple(d), False, answer
                ),
            )
    found = Stated.read(run, "duels:me")
    assert set(found.by_type) == {"sums", "greetings"}
    assert found.by_type["sums"][1] > 0.6
    assert found.by_type["greetings"][2] > found.by_type["sums"][2]
    assert sum(found.for_all or ()) == pytest.approx(1)
    assert found.of([prompt("recipes")], 3)[0].tolist() == list(found.for_all or ())
