"""The licence of a base model, and its name on the Hugging Face hub: what an export's card must pass on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pareto.config import Model
from pareto.model_sources import PACKAGED, TINY

_PACKAGED = {"smollm2-135m-instruct": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}
"""Packaged base → its name on the hub and its licence, as its model card there has them."""


def hub_name(base: str) -> str:
    """The base as the hub knows it; the name as given where it is no packaged one."""
    return _PACKAGED[base][0] if base in _PACKAGED else base


def licence_of(model: Model) -> str | None:
    """Identifier as the hub writes it (``apache-2.0``); ``None`` where the base does not say.

    A folder's or a hub model's own card says it, as far as it is on this machine; a GGUF file by ``general.license``.
    """
    if model.base == TINY:
        return "apache-2.0"  # made here
    if model.base in PACKAGED:
        return _PACKAGED[model.base][1]
    return _said(model.base)


@lru_cache(maxsize=8)
def _said(base: str) -> str | None:
    try:
        found = _of_gguf(base) if base.endswith(".gguf") else _of_card(base)
    except Exception:  # damaged cards fail in many ways, and a licence that cannot be read is one that is not stated
        return None
    return found if isinstance(found, str) else None


def _of_card(base: str) -> object:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.repocard import metadata_load

    card = Path(base) / "README.md"
    if not Path(base).is_dir():
        cached = try_to_load_from_cache(base, "README.md")
        if not isinstance(cached, str):
            return None
        card = Path(cached)
    return (metadata_load(card) or {}).get("license")


def _of_gguf(path: str) -> object:
    from gguf import GGUFReader, Keys

    field = GGUFReader(path).get_field(Keys.General.LICENSE)
    return None if field is None else field.contents()
