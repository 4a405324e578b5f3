"""A tokenizer as llama.cpp reads it from a GGUF file.

Written from the tokenizer that the adapters were trained and measured with, never from the base's own GGUF file: of
that one transformers keeps the merges but not always the pre-tokenizer, and llama.cpp is to cut text as we did.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pareto.errors import ParetoError

if TYPE_CHECKING:
    from gguf import GGUFWriter

    from pareto.models import Base

_LETTERS = ("ByteLevel", {"add_prefix_space": False, "use_regex": True})
_DIGITS = ("Digits", {"individual_digits": True})
_PRE = {"gpt-2": [_LETTERS], "smollm": [_DIGITS, _LETTERS]}
"""llama.cpp's name → the same steps in the words of ``tokenizers``."""


def add_tokenizer(writer: GGUFWriter, base: Base) -> None:
    """Add vocabulary, merges, special tokens and chat template.

    Raises:
        ParetoError: a tokenizer other than byte-level BPE with merges, or one that cuts text in a way not known here.
    """
    from gguf import TokenType

    made = json.loads(base.tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre(made, base))
    names = {int(i): token for token, i in base.tokenizer.get_vocab().items()}
    added = {int(token["id"]): bool(token["special"]) for token in made["added_tokens"]}
    rows = int(base.model.get_input_embeddings().weight.shape[0])
    types = {True: TokenType.CONTROL, False: TokenType.USER_DEFINED, None: TokenType.NORMAL}
    # The embeddings of some models have rows that no token uses.
    writer.add_token_list([names.get(i, f"[PAD{i}]") for i in range(rows)])
    writer.add_token_types([types[added.get(i)] if i in names else TokenType.UNUSED for i in range(rows)])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in made["model"]["merges"]])
    bos = base.tokenizer.bos_token_id
    if bos is not None:
        writer.add_bos_token_id(int(bos))
    writer.add_eos_token_id(base.end_id)
    writer.add_pad_token_id(int(base.tokenizer.pad_token_id))
    if base.tokenizer.unk_token_id is not None:
        writer.add_unk_token_id(int(base.tokenizer.unk_token_id))
    writer.add_add_bos_token(bos is not None and base.tokenizer("a")["input_ids"][0] == bos)
    writer.add_add_eos_token(False)
    writer.add_chat_template(str(base.tokenizer.chat_template))


def _pre(made: dict[str, Any], base: Base) -> str:
    """llama.cpp's name of the way in which text is cut before the merges."""
    model = made["model"]
    if model["type"] != "BPE" or model.get("byte_fallback") or (made["decoder"] or {}).get("type") != "ByteLevel":
        raise ParetoError(f"gguf: the tokenizer of {base.name} is no byte-level BPE; only such are written")
    if not model["merges"]:
        raise ParetoError(f"gguf: the tokenizer of {base.name} has no merges, and llama.cpp reads none without")
    pre = made["pre_tokenizer"] or {}
    steps = pre["pretokenizers"] if pre.get("type") == "Sequence" else [pre]
    if made["normalizer"] is None and not model.get("ignore_merges"):
        for name, wanted in _PRE.items():
            if len(steps) == len(wanted) and all(map(_same, steps, wanted)):
                return name
    kinds = " + ".join(str(step.get("type")) for step in [made["normalizer"] or {}, *steps] if step)
    raise ParetoError(
        f"gguf: the tokenizer of {base.name} cuts text in a way ({kinds or 'none'}) that is not written here; known "
        f"are llama.cpp's {', '.join(_PRE)}"
    )


def _same(step: dict[str, Any], wanted: tuple[str, dict[str, bool]]) -> bool:
    kind, settings = wanted
    return step.get("type") == kind and all(step.get(key) == value for key, value in settings.items())
