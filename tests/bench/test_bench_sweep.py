"""``pareto bench sweep`` runs both ways for real and says so in the documented shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from forge import Forge, smoke_recipe


@pytest.fixture(scope="module")
def result(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> dict:
    recipe = smoke_recipe(
        tmp_path_factory.mktemp("bench"),
        name="tiny-bench",
        training={"steps": 3, "steps_from_soup": 2},
        driver={"trials": 3},
        soups={"count": 0},
    )
    return forge.run("bench", "sweep", "--recipe", recipe, "--json").json()


def test_the_answer_has_the_documented_shape(result: dict) -> None:
    assert set(result) == {"bench", "hardware", "seeds", "figures", "rows"}
    assert result["bench"] == "sweep"
    assert all(isinstance(value, float | int) for value in result["figures"].values())
    assert [row["way"] for row in result["rows"]] == ["ours", "plain TRL", "base", "base again"]


def test_the_ratio_is_that_of_the_printed_seconds(result: dict) -> None:
    seconds = {row["way"]: sum(row["seconds"].values()) for row in result["rows"]}
    assert result["figures"]["speedup"] == pytest.approx(seconds["plain TRL"] / seconds["ours"], rel=0.05)


def test_the_plain_way_trained_and_sampled(result: dict) -> None:
    plain = next(row for row in result["rows"] if row["way"] == "plain TRL")
    assert set(plain["seconds"]) == {"load", "roll out", "train"}
    assert min(plain["seconds"].values()) > 0
    assert result["figures"]["plain_trained_tokens_per_second"] > 0


def test_the_command_prints_a_table(forge: Forge, tmp_path: Path) -> None:
    recipe = smoke_recipe(
        tmp_path,
        name="tiny-bench",
        training={"steps": 1, "steps_from_soup": 1},
        driver={"trials": 2},
        soups={"count": 0},
    )
    ended = forge.run("bench", "sweep", "--recipe", recipe)
    assert ended.code == 0, ended.err
    assert "plain TRL" in ended.out
    assert "speedup" in ended.out
