"""Whether an adapter from elsewhere was trained on this base model and speaks its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.errors import ParetoError
from pareto.models import fingerprint
from pareto.store.files import read_json

if TYPE_CHECKING:
    from pareto.models import Base


def check_base(folder: Path, config: dict[str, Any], base: Base) -> None:
    """Refuse an adapter of another base.

    Our own folders carry the base's fingerprint. Others only name it: the same name, a folder here with the same
    fingerprint, or a name that ends alike (``HuggingFaceTB/SmolLM2-135M-Instruct`` and ``smollm2-135m-instruct``).

    Args:
        folder: the adapter's.
        config: its ``adapter_config.json``.
        base: the run's base model.

    Raises:
        ParetoError: of another base, or one that does not say.
    """
    hint = "if you know that it is the same, add --same-base"
    if (folder / "pareto.json").is_file():
        ours = read_json(folder / "pareto.json")
        made_for = ours.get("base") if isinstance(ours, dict) else None
        if made_for is not None:
            if made_for != base.fingerprint:
                raise ParetoError(
                    f"{folder}: trained on another base model (hash {made_for}) than {base.name} "
                    f"(hash {base.fingerprint}); {hint}"
                )
            return
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise ParetoError(f"{folder}: does not say which base model it was trained on; {hint}")
    if named in (base.name, str(base.path)):
        return
    local = Path(named)
    if (local / "config.json").is_file():
        if fingerprint(local) == base.fingerprint:
            return
        raise ParetoError(f"{folder}: trained on another base model ({named}) than {base.name}; {hint}")
    if local.name.casefold() not in (Path(base.name).name.casefold(), base.path.name.casefold()):
        raise ParetoError(f"{folder}: trained on another base model ({named}) than {base.name}; {hint}")


def check_tokenizer(folder: Path, base: Base) -> None:
    """Refuse an adapter that comes with another tokenizer: its tokens would mean something else.

    Raises:
        ParetoError: the folder's ``tokenizer.json`` is damaged, or its vocabulary is not the base's.
    """
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        return
    try:
        theirs = Tokenizer.from_file(str(file)).get_vocab(with_added_tokens=True)
    except Exception as e:  # the reader raises nothing more special
        raise ParetoError(f"{file}: damaged: {str(e).splitlines()[0]}") from None
    ours = base.tokenizer.get_vocab()
    if theirs != ours:
        token = min(t for t, i in (theirs.items() ^ ours.items()))
        raise ParetoError(
            f"{folder}: comes with another tokenizer than {base.name}: {token!r} is {theirs.get(token, 'not there')}, "
            f"in the base {ours.get(token, 'not there')}"
        )
