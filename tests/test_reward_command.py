"""``pareto reward``, from comparisons to an ensemble's folder and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pareto.errors import ParetoError
from pareto.preferences.pairs import write_pairs
from pareto.records import Pair
from pareto.reward_command import reward_app

Reward = Callable[..., str]


@pytest.fixture(scope="module")
def reward() -> Reward:
    """Runs a command in this process; standard output alone."""

    def run(*words: object) -> str:
        ended = CliRunner().invoke(reward_app, [str(word) for word in words], catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rewards")


@pytest.fixture(scope="module")
def pairs(folder: Path) -> Path:
    """Whoever answers at length is preferred."""
    rows = [Pair(f"Question {i}?", "yes " * (9 + i % 5), "no " * (1 + i % 3)) for i in range(60)]
    write_pairs(folder / "pairs.jsonl", rows)
    with (folder / "pairs.jsonl").open("a") as more:
        more.write(json.dumps({"prompt": "Question?", "chosen": "x", "rejected": "x"}) + "\n")
    return folder / "pairs.jsonl"


@pytest.fixture(scope="module")
def words(folder: Path, pairs: Path) -> list[object]:
    """The command that trains the ensemble that all tests here look at."""
    where = ["--out", folder / "ensemble", "--cache", folder / "cache", "--model", "tiny-random", "--pooling", "last"]
    return ["train", pairs, "--objective", "long", *where, "--members", "3", "--held-out", "0.4"]


@pytest.fixture(scope="module")
def trained(reward: Reward, words: list[object]) -> dict[str, Any]:
    return json.loads(reward(*words, "--json"))


@pytest.fixture
def ensemble(trained: dict[str, Any], folder: Path) -> Path:
    return folder / "ensemble"


def test_train_tells_what_was_wrong_with_the_rows_and_how_good_the_models_are(trained: dict[str, Any]) -> None:
    assert (trained["objective"], trained["members"], trained["dropped"]) == ("long", 3, [])
    assert trained["pairs"]["counts"] | {"rows": 61, "pairs": 60, "identical": 1} == trained["pairs"]["counts"]
    (problem,) = trained["pairs"]["problems"]
    assert problem.endswith("pairs.jsonl:61: 'chosen' and 'rejected' are the same text; left out")
    found = trained["report"]["in_distribution"]
    assert found["accuracy"]["value"] > 0.9
    assert found["length"]["longer_by_labels"] == 1
    assert "shifted" not in trained["report"]


def test_the_same_command_finds_the_folder_and_another_does_not_replace_it(
    reward: Reward, words: list[object], ensemble: Path
) -> None:
    before = (ensemble / "ensemble.json").read_bytes()
    assert reward(*words).startswith(f"long: 3 members in {ensemble}\n")
    with pytest.raises(ParetoError, match=r"\(seed: 0, asked for 1\); name another folder"):
        reward(*words, "--seed", "1")
    assert (ensemble / "ensemble.json").read_bytes() == before


def test_score_says_whether_the_members_agree(reward: Reward, ensemble: Path) -> None:
    asked = ("score", ensemble, "--prompt", "Question 1?", "--completion", "yes yes", "--completion", "no")
    told = json.loads(reward(*asked, "--json"))
    assert [row["completion"] for row in told["completions"]] == ["yes yes", "no"]
    lines = reward(*asked).splitlines()
    for row, line in zip(told["completions"], lines, strict=True):
        assert len(row["members"]) == 3
        assert row["mean"] == pytest.approx(sum(row["members"]) / 3)
        assert row["lower"] == pytest.approx(row["mean"] - row["spread"])
        assert row["uncertain"] == (row["spread"] > told["spread_threshold"])
        assert line.startswith(", ".join(f"{x:.2f}" for x in row["members"]) + ": ")
        assert ("uncertain" in line) == row["uncertain"]


def test_eval_reports_on_other_pairs(reward: Reward, ensemble: Path, tmp_path: Path) -> None:
    turned = [Pair(f"Another {i}?", "no " * (1 + i % 3), "yes " * (9 + i % 5)) for i in range(20)]
    write_pairs(tmp_path / "turned.jsonl", turned)
    told = json.loads(reward("eval", ensemble, tmp_path / "turned.jsonl", "--json"))
    assert told["report"]["these_pairs"]["accuracy"]["value"] < 0.1
    table = reward("eval", ensemble, tmp_path / "turned.jsonl").splitlines()
    assert table[0].strip() == "these pairs"
    assert table[1].split()[-3:] == ["20", "(0),", "20"]
    assert table[-1].startswith("warning: these pairs: accuracy 0.0")
    assert table[-1].endswith(": worse than a coin")


def test_eval_leaves_out_what_the_ensemble_learnt_from(reward: Reward, ensemble: Path, pairs: Path) -> None:
    told = json.loads(reward("eval", ensemble, pairs, "--json"))
    # Of 60 prompts 24 are held out, and half of these calibrate.
    assert told["report"]["these_pairs"]["pairs"] == 12
    (note,) = told["notes"]
    assert "48 of 60 comparisons are of prompts that the ensemble was trained or calibrated on" in note


def test_one_member_is_no_plural_and_says_that_it_cannot_doubt(
    reward: Reward, words: list[object], folder: Path, tmp_path: Path
) -> None:
    told = reward(*words, "--out", tmp_path / "one", "--members", "1")
    assert told.startswith(f"long: 1 member in {tmp_path / 'one'}\n")
    scored = reward("score", tmp_path / "one", "--prompt", "Why?", "--completion", "no")
    assert "agreed" not in scored
    assert "cannot tell when it is unsure" in scored
    with pytest.raises(ParetoError, match=r"has 1 member, 0$"):
        reward("export", tmp_path / "one", "--member", "1", "--out", tmp_path / "member")


def test_a_negative_seed_is_refused_before_anything_is_done(words: list[object], tmp_path: Path) -> None:
    ended = CliRunner().invoke(reward_app, [*map(str, words), "--out", str(tmp_path / "x"), "--seed", "-5"])
    assert ended.exit_code == 2
    assert "Invalid value for '--seed'" in ended.output


def test_card_is_printed_or_written(reward: Reward, ensemble: Path, tmp_path: Path) -> None:
    printed = reward("card", ensemble)
    assert printed.startswith("---\n")
    assert "# Reward models: long" in printed
    assert reward("card", ensemble, "--out", tmp_path / "README.md") == f"card written to {tmp_path / 'README.md'}\n"
    assert (tmp_path / "README.md").read_text() == printed.removesuffix("\n")
    with pytest.raises(ParetoError, match=r"must end in \.md"):
        reward("card", ensemble, "--out", tmp_path / "card.txt")


def test_export_writes_one_member(reward: Reward, ensemble: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    out = tmp_path / "member"
    assert reward("export", ensemble, "--member", "2", "--out", out) == f"member 2 written to {out}\n"
    assert AutoModelForSequenceClassification.from_pretrained(out).config.num_labels == 1
    with pytest.raises(ParetoError, match=r"--member 3: .* has 3 members, 0 to 2"):
        reward("export", ensemble, "--member", "3", "--out", tmp_path / "other")


def test_a_recipe_gives_model_and_settings(reward: Reward, pairs: Path, folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: x\nmodel: {base: tiny-random, dtype: float32, device: cpu}\nprompts: {sources: [{packaged: sums}]}\n"
        "objectives: [{name: a, reward: concise}, {name: b, reward: harmless}]\n"
        "rounds: {ensemble: {members: 2, aggregate: min, held_out: 0.4}}\n"
    )
    words = ("train", pairs, "--objective", "long", "--cache", folder / "cache", "--recipe", recipe, "--json")
    assert json.loads(reward(*words, "--out", tmp_path / "two"))["members"] == 2
    settings = json.loads((tmp_path / "two" / "ensemble.json").read_text())["settings"]
    assert (settings["members"], settings["aggregate"]) == (2, "min")
    assert json.loads(reward(*words, "--out", tmp_path / "three", "--members", "3"))["members"] == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--members", "0"), "--members 0: must be a number from 1 to 32"),
        (("--held-out", "1"), "--held-out 1.0: must be a number between 0 and 0.9"),
        (("--held-out", "nan"), "--held-out nan: must be a number between 0 and 0.9"),
        (("--k", "inf"), "--k inf: must be a number, 0 or more"),
        (("--objective", ""), "--objective '': must be a name"),
        (("--objective", "../../x"), "--objective '../../x': must be a name"),
        (("--head", "tree"), "--head tree: must be 'linear', 'mlp', 'encoder' or 'lora'"),
        (("--head", "linear", "--head", "tree"), "--head tree: must be 'linear'"),
        (("--shifted", "none.jsonl"), "none.jsonl: no such file of comparisons"),
        (("--recipe", "none.yaml"), "none.yaml: no such recipe"),
    ],
)
def test_bad_input_is_one_clear_line(
    reward: Reward, words: list[object], tmp_path: Path, change: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ParetoError) as caught:
        reward(*words, "--out", tmp_path / "out", *change)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_ensemble_is_refused(reward: Reward, pairs: Path, tmp_path: Path) -> None:
    for words in (("eval", tmp_path, pairs), ("card", tmp_path), ("export", tmp_path, "--out", tmp_path / "x")):
        with pytest.raises(ParetoError, match="not an ensemble of reward models"):
            reward(*words)
