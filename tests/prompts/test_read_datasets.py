from pathlib import Path

import pytest

from pareto.config import Source
from pareto.errors import ParetoError
from pareto.prompts.read import read_source

datasets = pytest.importorskip("datasets")

ROWS = {"prompt": ["one", "two words"], "answers": [["1"], []], "score": [1, 2]}


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def table() -> "datasets.Dataset":
    return datasets.Dataset.from_dict(ROWS)


def refusal(source: Source) -> str:
    with pytest.raises(ParetoError) as caught:
        read_source(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_saved_data_set_and_a_folder_of_files_give_the_same(tmp_path: Path, table: "datasets.Dataset") -> None:
    table.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": table}).save_to_disk(tmp_path / "both")
    (tmp_path / "files").mkdir()
    table.to_parquet(tmp_path / "files" / "train.parquet")
    for name in ("saved", "both", "files"):
        prompts = read_source(Source(dataset=str(tmp_path / name)))
        assert [(p.text, p.answers, p.source) for p in prompts] == [("one", ("1",), name), ("two words", (), name)]


def test_mistakes_are_named(tmp_path: Path, table: "datasets.Dataset") -> None:
    folder = str(tmp_path / "saved")
    datasets.DatasetDict({"train": table}).save_to_disk(folder)
    assert "no column 'text'; columns there: 'prompt', 'answers', 'score'" in refusal(
        Source(dataset=folder, column="text")
    )
    assert "no subset 'dev'; there are: 'train'" in refusal(Source(dataset=folder, subset="dev"))
    assert "row 1: 'score' must be text, not int" in refusal(Source(dataset=folder, column="score"))
    assert "no such folder" in refusal(Source(dataset=str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    assert "cannot be read as a data set" in refusal(Source(dataset=str(tmp_path / "empty")))
