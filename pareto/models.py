"""Load a base model, of whatever source, or one that was fine-tuned from it.

Importing this module is cheap; torch and transformers come in when a model is loaded.
"""

from __future__ import annotations

import copy
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.config import Model
from pareto.config.sft import EXAMPLES
from pareto.errors import ParetoError
from pareto.model_sources import TINY, resolve
from pareto.store.cache import cache_root
from pareto.store.files import fingerprint as hash_of
from pareto.store.files import folder_ok

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


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
