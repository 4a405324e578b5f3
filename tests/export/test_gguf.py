"""GGUF files, read back by transformers, by the ``gguf`` package, and by llama.cpp where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader, dequantize
from merging_runs import FREE, TEXTS, make_base, point

from pareto.config import Model
from pareto.errors import ParetoError
from pareto.export.adapter import export
from pareto.export.gguf_model import check_architecture, write_model
from pareto.export.source import exact_policy
from pareto.export.verify import verify
from pareto.models import load
from pareto.store.run import Run

if TYPE_CHECKING:
    from pareto.models import Base


def tensors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Name → values, as llama.cpp's own reader has them."""
    return {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(path).tensors}


def test_transformers_reads_the_gguf_of_a_policy_as_the_policy(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETO_CACHE", str(tmp_path / "cache"))
    chosen = point(run, "soup-0")
    out = export(run, chosen, tmp_path / "out", FREE, format="gguf", dtype="float32")
    assert {p.name for p in out.iterdir()} == {"README.md", "SHA256SUMS", "model.gguf", "pareto.json"}
    theirs = load(Model(base=str(out / "model.gguf"), dtype="float32", device="cpu"))
    policy = exact_policy(run, chosen)
    for text in TEXTS:
        ids = policy.base.prompt_ids(text)
        assert theirs.prompt_ids(text) == ids
        with policy.bank.policy(policy.coefficients), torch.no_grad():
            difference = policy.base.model(torch.tensor([ids])).logits - theirs.model(torch.tensor([ids])).logits
        assert float(difference.abs().max()) <= 1e-4
    assert theirs.end_id == policy.base.end_id
    assert theirs.tokenizer.chat_template == policy.base.tokenizer.chat_template


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_other_dtypes_are_the_float32_matrices_rounded_once(run: Run, tmp_path: Path, dtype: Any, bits: int) -> None:
    chosen = point(run, "soup-0")
    exact = tensors(export(run, chosen, tmp_path / "exact", FREE, format="gguf", dtype="float32") / "model.gguf")
    rounded = tensors(export(run, chosen, tmp_path / "out", FREE, format="gguf", dtype=dtype) / "model.gguf")
    assert exact.keys() == rounded.keys()
    for name, value in exact.items():
        if value.ndim < 2:
            assert np.array_equal(rounded[name], value)
        else:
            assert np.all(np.abs(rounded[name] - value) <= np.abs(value) * 2.0**-bits + 1e-7)


def test_the_gguf_adapter_is_what_the_gguf_model_has_more_than_the_base(run: Run, tmp_path: Path) -> None:
    def whole(name: str) -> dict[str, np.ndarray[Any, Any]]:
        made = export(run, point(run, name), tmp_path / name, FREE, format="gguf", dtype="float32")
        return tensors(made / "model.gguf")

    base, soup = whole("base"), whole("soup-0")
    file = export(run, point(run, "soup-0"), tmp_path / "lora", FREE, format="gguf-lora") / "adapter.gguf"
    factors = tensors(file)
    alpha = GGUFReader(file).get_field("adapter.lora.alpha").contents()  # type: ignore[union-attr]
    adapted = {name.removesuffix(".lora_a") for name in factors if name.endswith(".lora_a")}
    assert {name for name in base if not np.array_equal(base[name], soup[name])} == adapted
    for name in adapted:
        a, b = factors[f"{name}.lora_a"], factors[f"{name}.lora_b"]
        assert np.allclose(alpha / a.shape[0] * b @ a, soup[name] - base[name], atol=1e-6)


def test_the_card_and_the_file_carry_the_licence_of_the_base(run: Run, tmp_path: Path) -> None:
    out = export(run, point(run, "soup-0"), tmp_path / "out", FREE, format="gguf")
    assert "license: mit\n" in (out / "README.md").read_text()
    field = GGUFReader(out / "model.gguf").get_field("general.license")
    assert field is not None
    assert field.contents() == "mit"


def test_what_cannot_be_written_as_gguf_is_refused_by_name(merging: Base, tiny: Base, tmp_path: Path) -> None:
    def changed(**changes: Any) -> Base:
        config = type(merging.model.config)(**merging.model.config.to_dict() | changes)
        return replace(merging, model=type("Model", (), {"config": config}))

    check_architecture(changed())
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    for changes, says in (
        ({"rope_parameters": scaled}, r"scales its rotary embeddings \(linear\)"),
        ({"attention_bias": True}, "has biases in its layers"),
        ({"hidden_act": "gelu"}, "use gelu; llama.cpp's llama has silu"),
    ):
        with pytest.raises(ParetoError, match=says):
            check_architecture(changed(**changes))
    other = changed()
    other.model.config.model_type = "gpt_neox"
    with pytest.raises(ParetoError, match=r"written for llama models only, and .* is a gpt_neox"):
        check_architecture(other)
    with pytest.raises(ParetoError, match="the tokenizer of tiny-random has no merges"):
        write_model(tmp_path / "x.gguf", tiny, "float32", "x", None)


def test_a_refused_gguf_leaves_nothing_behind(forged_run: tuple[Run, Any], tmp_path: Path) -> None:
    run, _ = forged_run
    with pytest.raises(ParetoError, match="has no merges"):
        export(run, point(run, "soup-0"), tmp_path / "out", FREE, format="gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("digits", [True, False])
def test_the_pre_tokenizer_is_told_by_its_steps(tmp_path: Path, digits: bool) -> None:
    base = load(Model(base=str(make_base(tmp_path / "base", digits=digits)), dtype="float32", device="cpu"))
    write_model(tmp_path / "x.gguf", base, "float16", "x", None)
    field = GGUFReader(tmp_path / "x.gguf").get_field("tokenizer.ggml.pre")
    assert field is not None
    assert field.contents() == ("smollm" if digits else "gpt-2")


LLAMA = os.environ.get("LLAMA_CPP_PYTHON", sys.executable)
"""An interpreter that may have ``llama-cpp-python``, which takes long to build; the tests' own where none is named."""


@pytest.fixture(scope="session")
def llama() -> str:
    if subprocess.run([LLAMA, "-I", "-c", "import llama_cpp"], capture_output=True, check=False).returncode:
        pytest.skip(f"{LLAMA} has no llama-cpp-python; name one that has in $LLAMA_CPP_PYTHON")
    return LLAMA


@pytest.mark.parametrize(("format", "dtype"), [("gguf", "float32"), ("gguf", "float16"), ("gguf-lora", "float32")])
def test_llama_cpp_says_what_the_policy_says(run: Run, tmp_path: Path, llama: str, format: Any, dtype: Any) -> None:
    out = export(run, point(run, "soup-0"), tmp_path / "out", FREE, format=format, dtype=dtype)
    found = verify(out, tmp_path / "runs", python=llama)
    assert found.same, found.reason
    assert found.equal + found.ties == len(TEXTS)
