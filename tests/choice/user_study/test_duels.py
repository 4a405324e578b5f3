"""Answers on the disk: only added to, taken back without loss, whole whatever happens to the file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from pareto.choice.user_study.duels import FILE, Duel, append, check_person, export, people, read, take_back
from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.store.run import Run

ASKED = Duel("two", "p", "Héllo?\n<b>", "a", "b", "yes", "no", 1, 1, (1.0, -0.5), False, "left", id="0")


@pytest.fixture
def run(tmp_path) -> Run:
    recipe = {
        "name": "two",
        "model": {"base": "tiny-random"},
        "prompts": {"sources": [{"packaged": "sums"}]},
        "objectives": [{"name": "kind", "reward": "harmless"}, {"name": "short", "reward": "concise"}],
    }
    return Run.create(tmp_path, Recipe.model_validate(recipe))


def test_what_is_written_is_read(run: Run) -> None:
    assert read(run) == ([], 0)
    append(run, ASKED)
    assert read(run) == ([ASKED], 0)


def test_spaces_around_a_name_make_no_second_person(run: Run) -> None:
    append(run, replace(ASKED, person="ann"))
    append(run, replace(ASKED, person=" ann ", id="1"))
    assert people(read(run)[0]) == ["ann"]


def test_one_line_of_json_each(run: Run) -> None:
    append(run, ASKED)
    append(run, replace(ASKED, id="1"))
    lines = (run.path / FILE).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["0", "1"]


def test_taking_back_hides_one_answer_and_loses_none(run: Run) -> None:
    append(run, ASKED)
    append(run, replace(ASKED, id="1"))
    before = (run.path / FILE).read_bytes()
    take_back(run, ASKED)
    assert [d.id for d in read(run)[0]] == ["1"]
    assert (run.path / FILE).read_bytes().startswith(before)


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_left_out_and_what_follows_is_kept(run: Run, cut: int) -> None:
    append(run, ASKED)
    append(run, replace(ASKED, id="1"))
    path = run.path / FILE
    path.write_bytes(path.read_bytes()[: -1 - cut])
    assert read(run) == ([ASKED], 1)
    append(run, replace(ASKED, id="2"))
    duels, torn = read(run)
    assert ([d.id for d in duels], torn) == (["0", "2"], 1)


@pytest.mark.parametrize(
    "line",
    ["[]", "3", "{}", '{"undo": ["x"]}', '{"id": "9"}', "\xff", '{"id": "0", "difference": null}'],
)
def test_a_foreign_line_breaks_nothing(run: Run, line: str) -> None:
    append(run, ASKED)
    with (run.path / FILE).open("ab") as f:
        f.write(line.encode("latin-1") + b"\n")
    assert read(run) == ([ASKED], 1)


def test_lines_of_several_processes_do_not_mix(run: Run) -> None:
    code = (
        "import sys; from dataclasses import replace; from pareto.store.run import Run\n"
        "from pareto.choice.user_study.duels import Duel, append\n"
        "run = Run.open(sys.argv[1])\n"
        "for k in range(100):\n"
        "    append(run, Duel('two', 'p', 'x' * 5000, 'a', 'b', '', '', 1, 1, (0., 0.), False, 'tie', sys.argv[2]))\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, run.path, f"person {k}"]) for k in range(3)]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    duels, torn = read(run)
    assert (len(duels), torn) == (300, 0)
    assert set(people(duels)) == {"person 0", "person 1", "person 2"}


def test_an_export_can_be_read_line_by_line(run: Run, tmp_path) -> None:
    export(tmp_path / "out.jsonl", [ASKED, replace(ASKED, id="1")])
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == ["Héllo?\n<b>"] * 2


@pytest.mark.parametrize("name", ["", " ", "a/b", "x" * 41, "a\nb", "<b>", "-x"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ParetoError, match="1 to 40 letters"):
        check_person(name)


@pytest.mark.parametrize("name", ["me", "Ann B.", "Łukasz", " bob "])
def test_a_good_name_is_kept(name: str) -> None:
    assert check_person(name) == name.strip()


def test_what_is_no_answer_is_refused(run: Run) -> None:
    with pytest.raises(ParetoError, match="one of left, right, tie, both_bad, skip"):
        append(run, replace(ASKED, answer="A"))
    with pytest.raises(ParetoError, match="3 differences for 2 objectives"):
        append(run, replace(ASKED, difference=(0.0, 0.0, 0.0)))
    assert read(run) == ([], 0)
