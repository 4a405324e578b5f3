"""Where a base's licence is found, and that a card that cannot be read is only one that does not say."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFWriter

from pareto.config import Model
from pareto.export.licence import hub_name, licence_of


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: llama3.2\n---\n\n# A model\n", "llama3.2"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", None),
        ("---\nlicense: {{\n---\n", None),
        ("# No front matter\n", None),
        (None, None),
    ],
)
def test_a_folder_says_it_in_its_card(tmp_path: Path, card: str | None, licence: str | None) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert licence_of(Model(base=str(tmp_path))) == licence


def test_a_gguf_file_says_it_by_its_key(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_license("mit")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    assert licence_of(Model(base=str(tmp_path / "a.gguf"))) == "mit"
    assert licence_of(Model(base=str(tmp_path / "b.gguf"))) is None


def test_the_packaged_base_is_known_by_its_name_on_the_hub() -> None:
    assert hub_name("smollm2-135m-instruct") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert licence_of(Model(base="smollm2-135m-instruct")) == "apache-2.0"
    assert licence_of(Model(base="somebody/nowhere-cached")) is None
