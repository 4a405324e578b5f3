"""``pareto choose``, and what it means for chat, export, measure and the front, on the finished smoke sweep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from forge import Forge

from pareto.choice.candidates import Candidates
from pareto.choice.constraints import violations
from pareto.choice.levels import parse_levels
from pareto.choice.standing import standing
from pareto.store.points import load_points
from pareto.store.run import Run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    return Run.open(tmp_path / "runs" / "smoke")


def test_the_funnel_the_policy_and_the_reasons_are_printed(forge: Forge, run: Run) -> None:
    means = {p.id: p.mean for p in load_points(run) if p.split == "validation" and p.kind != "base"}
    threshold = sorted(m["vowels"] for m in means.values())[-3]
    kept = [name for name, m in means.items() if m["vowels"] >= threshold]
    ended = forge.run("choose", run.path, "--priorities", f"vowels>={threshold!r}@mean")
    assert ended.code == 0, ended.err
    assert f"{len(means)} → {len(kept)}" in ended.out.splitlines()[0]
    out = ended.out.split("out of reach:")[1]
    for name in means:
        assert (name in out) == (name not in kept)
    told = forge.run("choose", run.path, "--priorities", f"vowels>={threshold!r}@mean", "--most", "digits", "--json")
    assert told.json()["chosen"]["id"] == max(kept, key=lambda name: means[name]["digits"])


def test_nothing_feasible_is_one_plain_sentence_and_no_success(forge: Forge, run: Run) -> None:
    ended = forge.run("choose", run.path, "--priorities", "vowels>=1.5")
    assert ended.code == 1
    assert "no feasible policy" in ended.out
    told = forge.run("choose", run.path, "--priorities", "vowels>=1.5", "--json")
    assert told.code == 1
    assert json.loads(told.out)["chosen"] is None


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--priorities", "vowel>=1"], "unknown objective 'vowel'; did you mean 'vowels'?"),
        (["--priorities", "vowels<=1"], "'vowels' is maximised: give at_least instead of at_most"),
        (["--priorities", "vowels"], "is not a rule"),
        (["--knee", "--most", "vowels"], "give only one of"),
        (["--most", "vowel"], "no objective 'vowel'; did you mean 'vowels'?"),
        (["--reference", "vowels"], "is not name=number"),
    ],
)
def test_bad_input_is_one_clear_line(forge: Forge, run: Run, words: list[str], match: str) -> None:
    ended = forge.run("choose", run.path, *words)
    assert ended.code == 2
    assert ended.err.startswith("pareto: ")
    assert match in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_kept_priorities_hold_for_export_chat_and_choose(forge: Forge, run: Run, tmp_path: Path) -> None:
    means = {p.id: p.mean["vowels"] for p in load_points(run) if p.split == "validation" and p.kind != "base"}
    worst = min(means, key=means.__getitem__)
    between = means[worst] + 1e-3  # just above the worst, so that test prompts agree
    rule = f"vowels>={between!r}@mean"
    assert forge.run("choose", run.path, "--priorities", rule, "--keep").code == 0
    assert standing(run) == parse_levels(rule, run.recipe.names)
    assert forge.run("choose", run.path, "--json").json()["priorities"] == rule

    refused = forge.run("export", run.path, "--point", worst, "--out", tmp_path / "out")
    assert refused.code == 2
    assert f"{worst} is out of reach: vowels" in refused.err
    assert "--force" in refused.err
    assert not (tmp_path / "out").exists()
    forced = forge.run("export", run.path, "--point", worst, "--out", tmp_path / "out", "--force")
    assert forced.code == 0, forced.err
    assert "exported by force" in (tmp_path / "out" / "README.md").read_text()
    assert forge.run("export", run.path, "--best", "--out", tmp_path / "best").code == 0

    said = forge.run("chat", run.path, "--point", worst, "Hello")
    assert said.code == 0
    assert f"{worst} is outside the run's priorities: vowels" in said.err
    assert forge.run("chat", run.path, "Hello").err == ""


def test_without_a_feasible_policy_nothing_is_chosen_by_default(forge: Forge, run: Run, tmp_path: Path) -> None:
    assert forge.run("choose", run.path, "--priorities", "vowels>=1.5@mean", "--keep").code == 1
    for words in (["chat", run.path, "Hello"], ["export", run.path, "--best", "--out", tmp_path / "out"]):
        ended = forge.run(*words)
        assert ended.code == 2
        assert "no feasible policy" in ended.err


def test_a_soup_is_judged_once_it_is_measured(forge: Forge, run: Run, tmp_path: Path) -> None:
    assert forge.run("choose", run.path, "--priorities", "vowels>=0@mean", "--keep").code == 0
    asked = ("--coefficients", "expert-vowels=0.3,expert-digits=0.4")
    refused = forge.run("export", run.path, *asked, "--out", tmp_path / "out")
    assert refused.code == 2
    assert "not measured" in refused.err
    assert "pareto measure" in refused.err
    told = forge.run("measure", run.path, *asked, "--json").json()
    assert {p.split for p in load_points(run) if p.id == told["point"]} == {"validation", "test"}
    assert forge.run("measure", run.path, *asked, "--json").json() == told
    made = forge.run("export", run.path, *asked, "--out", tmp_path / "out", "--json").json()
    assert made["point"] == told["point"]
    assert "Measured on the test prompts" in (tmp_path / "out" / "README.md").read_text()
    assert told["point"] in {row["id"] for row in forge.run("front", run.path, "--json").json()["points"]}


def test_damaged_priorities_are_told(forge: Forge, run: Run) -> None:
    (run.path / "priorities.json").write_text('{"levels": [{"objective": "vowels"}]}')
    ended = forge.run("choose", run.path)
    assert ended.code == 2
    assert "priorities.json: damaged" in ended.err


def test_a_search_sees_how_far_from_each_threshold_a_policy_is(run: Run) -> None:
    point = next(p for p in load_points(run) if p.kind == "expert" and p.split == "validation")
    mean, scale = point.mean["vowels"], dict(zip(run.recipe.names, Candidates.of(run).frame.scale, strict=True))
    levels = parse_levels(f"vowels>={mean + 0.1!r}@mean;digits~0.1;vowels>={mean - 0.1!r}@mean", run.recipe.names)
    short, spare = violations(run, point.id, levels, 4)
    assert short == pytest.approx(0.1 / scale["vowels"])
    assert spare == pytest.approx(-0.1 / scale["vowels"])
    surely = parse_levels(f"vowels>={mean - 1e-6!r}", run.recipe.names)
    assert 0 < violations(run, point.id, surely, 1)[0] < violations(run, point.id, surely, 40)[0]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["measure", "--coefficients", "expert-vowels=1e9"], "expert-vowels=1e+09 is out of range; from -100 to 100"),
        (["choose", "--weights", "vowels=1e308,digits=1e308"], "out of range"),
        (["choose", "--reference", "vowels=1e308"], "out of range"),
        (["choose", "--priorities", "vowels>=1e308"], "is not a number"),
        (["chat", "Hello", "--weights", "vowels=0"], "vowels=0 sums to 0, not 1"),
    ],
)
def test_numbers_beyond_all_sense_are_refused(forge: Forge, run: Run, words: list[str], match: str) -> None:
    ended = forge.run(words[0], run.path, *words[1:])
    assert ended.code == 2
    assert match in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_one_clear_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    from pareto.choice.standing import keep
    from pareto.errors import ParetoError

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", refuse)  # as on a read-only disk: root writes everywhere else
    with pytest.raises(ParetoError, match=r"priorities.json: cannot be written: Read-only file system"):
        keep(run, ())


def test_an_address_that_cannot_be_listened_on_is_one_clear_line(forge: Forge, run: Run) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = forge.run("app", run.path, "--port", str(taken.getsockname()[1]))
    assert ended.code == 2
    assert "cannot listen there" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
