"""``pareto label``: a session by keys, status, import and export, and one clear line for what is wrong."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import typer
from forge import until
from typer.testing import CliRunner

from pareto.errors import ParetoError
from pareto.label_command import label
from pareto.preferences.annotation.annotator import failure, labelled
from pareto.preferences.annotation.questions import from_run, make
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.preferences.annotation.shown import Shown
from pareto.records import Prompt, Question
from pareto.rounds.store import Rounds
from pareto.store.run import Run
from pareto.store.tables import read_prompts, read_rollouts

app = typer.Typer()
app.command("label")(label)


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def queue(root: Path) -> AnnotationQueue:
    return AnnotationQueue(root / "smoke" / "labels")


def asked(*texts: tuple[str, str], objective: str = "vowels") -> list[Question]:
    return [make(objective, Prompt(f"p{k}", f"Question {k}?", "s"), pair) for k, pair in enumerate(texts)]


def call(*arguments: object, keys: str = ""):
    done = CliRunner().invoke(app, [str(a) for a in arguments], input="".join(f"{key}\n" for key in keys))
    if isinstance(done.exception, ParetoError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_a_session_keeps_every_answer_at_once(root: Path, queue: AnnotationQueue) -> None:
    queue.ask(asked(("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")))
    told = call("smoke", "--root", root, "--person", "ann", keys="atq")
    assert "vowels · 1 of 4" in told.stdout
    assert "vowels · 2 of 4" in told.stdout
    assert "Which answer is more vowels?" in told.stdout
    labels = queue.labels
    assert [x.annotator for x in labels] == ["ann", "ann"]
    assert labels[0].answer == ("second" if labels[0].swapped else "first")
    assert labels[1].answer == "tie"
    call("smoke", "--root", root, "--person", "ann", keys="sb")
    assert len(queue.labels) == 4
    assert queue.waiting() == []


def test_a_is_what_stands_above_b_whatever_side_chance_puts_it_on(root: Path, queue: AnnotationQueue) -> None:
    queue.ask(asked(*[("good", "bad")] * 12))
    above = []
    for _ in range(12):
        told = call("smoke", "--root", root, keys="aq").stdout
        above.append("good" if told.index("good") < told.index("bad") else "bad")
    assert [x.second if x.answer == "second" else x.first for x in queue.labels] == above
    assert {*above} == {"good", "bad"}


def test_undo_shows_the_same_again(root: Path, queue: AnnotationQueue) -> None:
    queue.ask(asked(("a", "b"), ("c", "d")))
    done = call("smoke", "--root", root, keys="auuxtq")
    assert "your last answer is taken back" in done.stderr
    assert "there is nothing to take back" in done.stderr
    assert "a: the first, b: the second" in done.stderr
    assert [x.answer for x in queue.labels] == ["tie"]
    first = [line for line in done.stdout.splitlines() if line.startswith("Question")]
    assert first[0] == first[2] == first[3]


def test_a_plain_run_is_asked_about_its_own_answers(root: Path, queue: AnnotationQueue) -> None:
    told = call("smoke", "--root", root, "--objective", "digits", keys="aq")
    assert "questions made from the run's measured answers" in told.stderr
    (answered,) = queue.labels
    run = Run.open("smoke", root)
    said = {r.text for path in run.rollouts.glob("*.parquet") for r in read_rollouts(path)}
    assert {answered.first, answered.second} <= said
    assert {q.objective for q in queue.questions} == {"digits"}
    assert "validation" in {p.split for p in read_prompts(run.path / "prompts.parquet") if p.id == answered.prompt_id}


def test_questions_are_spread_over_the_prompts(root: Path) -> None:
    run = Run.open("smoke", root)
    prompts = [q.prompt_id for q in from_run(run, "digits", 10, seed=1)]
    assert len(prompts) == len({*prompts}) == 10
    with pytest.raises(ParetoError, match="no objective 'digit'; did you mean 'digits'"):
        from_run(run, "digit")


def test_control_characters_never_reach_the_terminal(root: Path, queue: AnnotationQueue) -> None:
    evil = "\x1b]0;owned\x07\x1b[2Jx\u202e [bold]y[/bold]"
    queue.ask([make("vowels", Prompt("p", f"ask {evil}", "s"), (evil, "kind"))])
    told = call("smoke", "--root", root, keys="q").output
    assert not {*"\x1b\x07\u202e"} & {*told}
    assert "[bold]y[/bold]" in told


def test_status_tells_what_waits_who_labelled_and_what_is_doubtful(root: Path, queue: AnnotationQueue) -> None:
    class Judge:
        name, who = "judge:m", "judge"

    questions = asked(*[("a", "b")] * 12)
    queue.ask(questions)
    for question in questions[:10]:
        queue.record(labelled(question, "tie", Judge(), note="A, A", cost=0.5))
    queue.fail(failure(questions[10], Judge(), "no answer within 30 s", cost=0.25))
    for person, key in (("ann", "left"), ("bob", "right")):
        queue.record(Shown(questions[0], swapped=False, repeated=False).label(key, person))  # type: ignore[arg-type]
    told = call("smoke", "--root", root, "--status").stdout.splitlines()
    assert told[0] == "smoke: 2 questions wait"
    assert told[1] == "vowels: 2 of 12 wait, 12 labels, contradictions: 1 (all kept)"
    assert told[2].startswith("  people: 0% of answers agree")
    assert "  round 0, judge:m: 10 labels (ties: 10)" in told
    assert any(line.startswith("judge:m: POSITION BIAS towards the first") for line in told)
    assert told[-2:] == ["cost: 5.25", "failed: 1 calls, the last: no answer within 30 s"]
    found = json.loads(call("smoke", "--root", root, "--json").stdout)
    assert found["judges"]["judge:m"]["flagged"] is True
    assert found["objectives"]["vowels"]["waiting"] == found["waiting"] == 2
    assert found["spent"]["cost"] == 5.25


def test_import_and_export(root: Path, queue: AnnotationQueue, tmp_path: Path) -> None:
    path = tmp_path / "ours.jsonl"
    path.write_text(
        '{"prompt": "?", "chosen": "a", "rejected": "b"}\n{"prompt": "?", "chosen": "c", "rejected": "c"}\n'
    )
    for new in (1, 0):
        done = call("smoke", "--root", root, "--objective", "vowels", "--import", path)
        assert f"{new} new labels of 1 comparisons" in done.stderr
        assert "the same text" in done.stderr
    out = tmp_path / "out.jsonl"
    call("smoke", "--root", root, "--export", out)
    (row,) = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert (row["chosen"], row["rejected"], row["annotator"]) == ("a", "b", "file:ours.jsonl")
    assert len(queue.labels) == 1
    call("smoke", "--root", root, "--export", out)  # an export may replace an export
    with pytest.raises(ParetoError, match="is no export of labels"):
        call("smoke", "--root", root, "--export", path)
    assert "the same" not in path.read_text()
    assert len(path.read_text().splitlines()) == 2


def test_rounds_are_found_by_their_name(root: Path) -> None:
    recipe = Run.open("smoke", root).recipe.model_copy(update={"name": "series"})
    rounds = Rounds.create(root, recipe)
    rounds.queue.ask(asked(("a", "b")))
    for name in ("series", "series-rounds", rounds.path):
        assert call(name, "--root", root, "--status").stdout.startswith("series-rounds: 1 questions wait")
    call("series", "--root", root, keys="b")
    assert len(rounds.queue.labels) == 1
    assert "nothing waits" in call("series", "--root", root).stderr


def test_what_is_wrong_is_one_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ParetoError, match=r"no run 'smoky'; runs in .*: smoke; no rounds 'smoky'"):
        call("smoky", "--root", root)
    with pytest.raises(ParetoError, match=r"by which objective\? --objective vowels\|digits"):
        call("smoke", "--root", root)
    with pytest.raises(ParetoError, match="did you mean 'vowels'"):
        call("smoke", "--root", root, "--objective", "vowel")
    with pytest.raises(ParetoError, match="by which objective"):
        call("smoke", "--root", root, "--import", "x.jsonl")
    with pytest.raises(ParetoError, match=r"must end in \.jsonl"):
        call("smoke", "--root", root, "--export", "x.txt")
    with pytest.raises(ParetoError, match="1 to 40 letters"):
        call("smoke", "--root", root, "--person", "judge:me")


def test_in_a_terminal_one_key_is_enough(root: Path, queue: AnnotationQueue) -> None:
    """A real pseudo-terminal: no Enter, an arrow key counts as no letter, and the terminal is as before afterwards."""
    queue.ask(asked(("a", "b"), ("c", "d"), ("e", "f")))
    script = "import typer; from pareto.label_command import label; typer.run(label)"
    command = [sys.executable, "-c", script, "smoke", "--root", str(root), "--person", "ann"]
    leader, follower = pty.openpty()
    before = termios.tcgetattr(follower)
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=os.environ | {"TERM": "xterm"}
    )
    told = b""

    def says(what: bytes) -> bool:
        nonlocal told
        if select.select([leader], [], [], 0)[0]:
            told += os.read(leader, 1 << 16)
        return what in told

    try:
        for key, after in ((b"a", b"1 of 3"), (b"\x1b[A", b"2 of 3"), (b"t", b"a: the first"), (b"q", b"3 of 3")):
            until(lambda after=after: says(after), 60, late=process.kill)
            until(lambda: not termios.tcgetattr(follower)[3] & termios.ICANON, 60, late=process.kill)
            os.write(leader, key)
        until(lambda: process.poll() is not None, 60, late=process.kill)
        after_all = termios.tcgetattr(follower)
    finally:
        process.kill()
        os.close(leader)
        os.close(follower)
    assert process.returncode == 0
    assert after_all == before
    assert [x.annotator for x in queue.labels] == ["ann", "ann"]
    assert queue.labels[1].answer == "tie"


def test_starting_it_imports_nothing_heavy(root: Path) -> None:
    script = """
import sys
from pathlib import Path
from pareto.label_command import standing
from pareto.rounds.source import Source
standing(Source.find("smoke", Path(sys.argv[1])))
print([m for m in ("torch", "transformers", "sklearn", "optuna", "pandas", "datasets") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
