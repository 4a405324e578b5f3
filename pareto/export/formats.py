"""What an export can be; imports nothing heavy, so that the command line can name it."""

from __future__ import annotations

from typing import Literal, get_args

from pareto.errors import ParetoError

PolicyFormat = Literal["peft", "merged", "gguf", "gguf-lora"]
"""Of one policy: its adapter for PEFT, the whole model for transformers, either of them for llama.cpp."""
Format = Literal[PolicyFormat, "bank"]
DType = Literal["float32", "float16", "bfloat16"]
"""How weights are stored."""

_WHOLE: tuple[Format, ...] = ("merged", "gguf")


def whole_model(format: Format) -> bool:
    """Whether the export carries the base's weights too, so that the base itself can be exported this way."""
    return format in _WHOLE


def stored_as(format: Format, wanted: DType | None, base: str) -> DType:
    """The dtype of an export's weights.

    Adapters stay float32, which is exact. A merged model has the base's own dtype; GGUF is float16, which every
    backend of llama.cpp computes with.

    Args:
        format: of the export.
        wanted: what was asked for, if anything.
        base: name of the dtype of the base's files.

    Raises:
        ParetoError: another dtype than float32 for an adapter.
    """
    if not whole_model(format):
        if wanted not in (None, "float32"):
            raise ParetoError(f"--dtype {wanted}: the format {format} keeps adapters in float32, which is exact")
        return "float32"
    if wanted is not None:
        return wanted
    known = get_args(DType)
    return "float16" if format == "gguf" or base not in known else base  # type: ignore[return-value]
