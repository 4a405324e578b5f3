"""Load a frozen transformers model and its tokenizer for scoring."""

from __future__ import annotations

from typing import Any

from pareto.errors import ParetoError
from pareto.models import LOADING


def pretrained(auto_class: str, source: str, what: str) -> tuple[Any, Any]:
    """A model in float32 and evaluation mode, on the GPU where there is one, and its tokenizer.

    Args:
        auto_class: ``AutoModel`` or one of its kin, by its name.
        source: a local folder or hub id.
        what: what the model is to the user, for error messages.

    Raises:
        ParetoError: the source cannot be loaded, or lacks weights that the class needs (they would be random).
    """
    import torch

    with LOADING:
        import transformers
        from transformers.utils import logging

        bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
        # Loading takes a moment, so its bar would only break the sweep's own screen; what its report warns of (missing
        # weights) is an error below.
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            model, info = getattr(transformers, auto_class).from_pretrained(
                source, dtype=torch.float32, output_loading_info=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError, RuntimeError) as e:
            raise ParetoError(f"{what} '{source}' cannot be loaded: {str(e).strip().splitlines()[0]}") from e
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
    missing = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if missing:
        raise ParetoError(
            f"{what} '{source}' has no trained {missing[0]} ({len(missing)} weights would be random): "
            f"give a model trained for {auto_class}"
        )
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer
