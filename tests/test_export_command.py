"""``pareto export --format`` and ``pareto verify``; what is older stands in ``test_cli.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from forge import Forge

from pareto.export.place import check_sums
from pareto.records import Prompt
from pareto.store.run import Run
from pareto.store.tables import write_prompts


@pytest.fixture
def run(forged_run: tuple[Run, Any]) -> Run:
    return forged_run[0]


def test_a_merged_model_is_written_with_its_hashes_and_verified_by_another_python(
    forge: Forge, run: Run, tmp_path: Path
) -> None:
    prompts = [Prompt(f"p{k}", f"Name {k} rivers.", "here", split="test") for k in range(4)]
    write_prompts(run.path / "prompts.parquet", prompts)
    words = ("export", "forged", "--point", "soup-0", "--out", "out", "--format", "merged")
    told = forge.run(*words, "--json", cwd=tmp_path).json()
    assert (told["format"], told["out"]) == ("merged", "out")
    assert check_sums(tmp_path / "out") == []
    said = forge.run("verify", "out", "--prompts", "3", cwd=tmp_path)
    assert said.code == 0, said.err
    assert "the same as ours" in said.out
    assert "3 of 3 greedy answers equal" in said.out


def test_a_changed_export_ends_with_one_and_one_line(forge: Forge, run: Run, tmp_path: Path) -> None:
    forge.run("export", "forged", "--point", "soup-0", "--out", "out", "--json", cwd=tmp_path).json()
    (tmp_path / "out" / "tokenizer.json").write_text("{}")
    ended = forge.run("verify", "out", cwd=tmp_path)
    assert (ended.code, ended.err) == (1, "")
    assert ended.out == (
        "out: differs from ours: tokenizer.json is not the file that was exported (its SHA-256 differs)\n"
    )
    ended = forge.run("verify", "out", "--json", cwd=tmp_path)
    assert ended.code == 1
    assert json.loads(ended.out)["same"] is False


def test_a_bank_is_written_and_only_replaced_when_asked(forge: Forge, run: Run, tmp_path: Path) -> None:
    words = ("export", "forged", "--format", "bank", "--out", "bank")
    told = forge.run(*words, "--json", cwd=tmp_path).json()
    assert told == {"run": "forged", "out": "bank", "format": "bank", "adapters": ["expert-kind", "expert-short"]}
    assert "bank is there already; --overwrite replaces" in forge.run(*words, cwd=tmp_path).line()
    assert forge.run(*words, "--overwrite", cwd=tmp_path).out == "2 adapters written to bank\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--format", "bank", "--best"), "--format bank exports all adapters as they are: no --point"),
        (("--format", "bank", "--dtype", "float16"), "no --dtype"),
        (("--format", "merged"), "exactly one of --point ID"),
        (("--point", "soup-0", "--dtype", "float16"), "the format peft keeps adapters in float32, which is exact"),
        (("--point", "base", "--format", "gguf-lora"), "is the base model: there is no adapter to export"),
        (("--point", "soup-0", "--format", "gguf"), "the tokenizer of tiny-random has no merges"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(
    forge: Forge, run: Run, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    assert says in forge.run("export", "forged", "--out", "out", *words, cwd=tmp_path).line()
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def test_the_base_itself_leaves_as_a_whole_model(forge: Forge, run: Run, tmp_path: Path) -> None:
    told = forge.run(
        "export", "forged", "--point", "base", "--format", "merged", "--out", "out", "--json", cwd=tmp_path
    )
    assert told.json()["coefficients"] == {}
    assert "`tiny-random` as it is" in (tmp_path / "out" / "README.md").read_text()


def test_what_is_no_export_is_not_verified(forge: Forge, tmp_path: Path) -> None:
    assert "nowhere: not an export of pareto (no SHA256SUMS)" in forge.run("verify", "nowhere", cwd=tmp_path).line()
