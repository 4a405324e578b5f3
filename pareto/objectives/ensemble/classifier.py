"""Scores by sequence classifiers with one label: LoRA members on the base model, and foreign models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pareto.models import LOADING
from pareto.objectives.ensemble.features import BATCH, Progress, conversation
from pareto.objectives.reward_model import RewardModel

if TYPE_CHECKING:
    from pareto.models import Base


def classifier(base: Base) -> Any:
    """The base as ``AutoModelForSequenceClassification``, its head random, in float32: margins need the digits.

    It scores the hidden state of the last token that is no padding, so padding must not be the end of the turn.
    """
    import torch

    with LOADING, quietly():
        from transformers import AutoModelForSequenceClassification

        model: Any = AutoModelForSequenceClassification.from_pretrained(base.path, num_labels=1, dtype=torch.float32)
    model.config.get_text_config().pad_token_id = padding(base)
    return model.to(base.device).eval()


def padding(base: Base) -> int:
    """A token that no conversation ends with."""
    pad = base.tokenizer.pad_token_id
    return int(pad) if isinstance(pad, int) and pad != base.end_id else int(base.end_id == 0)


def padded_tokenizer(base: Base) -> Any:
    """The base's tokenizer, a copy that pads with ``padding``."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(base.path)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding(base))
    return tokenizer


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from telling that a head is random: it is about to be trained or loaded."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def classify(model: Any, rows: Sequence[Sequence[int]], pad: int, progress: Progress) -> NDArray[np.float64]:
    """The only logit of each sequence of tokens, (n,)."""
    import torch

    out = np.empty(len(rows))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        ids = torch.full((len(part), len(rows[part[-1]])), pad)
        mask = torch.zeros_like(ids)
        for j, i in enumerate(part):
            ids[j, : len(rows[i])], mask[j, : len(rows[i])] = torch.tensor(rows[i]), 1
        with torch.inference_mode():
            logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
        out[part] = logits[:, 0].double().cpu().numpy()
        progress(start + len(part), len(rows))
    return out


class LoraMembers:
    """LoRA adapters with a head each, on one copy of the base."""

    def __init__(self, base: Base, folders: Sequence[Path]) -> None:
        from peft import PeftModel

        self._base = base
        self._names = [f"member-{i}" for i in range(len(folders))]
        model: Any = PeftModel.from_pretrained(classifier(base), folders[0], adapter_name=self._names[0])
        for name, folder in zip(self._names[1:], folders[1:], strict=True):
            model.load_adapter(folder, name)
        self._model = model.eval()

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], progress: Progress) -> NDArray[np.float64]:
        """Raw scores (n, members)."""
        rows = [conversation(self._base, p, c) for p, c in zip(prompts, completions, strict=True)]
        columns = []
        for j, name in enumerate(self._names):
            self._model.set_adapter(name)
            done, total = j * len(rows), len(self._names) * len(rows)
            columns.append(
                classify(self._model, rows, padding(self._base), lambda k, n, d=done, t=total: progress(d + k, t))  # type: ignore[misc]
            )
        return np.stack(columns, axis=1)


class Foreign(RewardModel):
    """Somebody else's ``AutoModelForSequenceClassification`` with one label, on its own chat template if it has one."""

    def scores(self, prompts: Sequence[str], completions: Sequence[str], progress: Progress) -> NDArray[np.float64]:
        """Raw scores (n, 1)."""
        if self._tokenizer.chat_template is None:
            found = np.array(self(prompts=prompts, completions=completions), dtype=np.float64)
            progress(len(found), len(found))
        else:
            rows = [self._conversation(p, c) for p, c in zip(prompts, completions, strict=True)]
            found = classify(self._model, rows, self._model.config.get_text_config().pad_token_id, progress)
        return found[:, None]

    @property
    def revision(self) -> str:
        """What tells one state of the model from another."""
        from pareto.models import fingerprint

        path = Path(self._model.config._name_or_path)
        return fingerprint(path) if path.is_dir() else str(self._model.config._commit_hash)

    def _conversation(self, prompt: str, completion: str) -> list[int]:
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        ids: list[int] = self._tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
        return ids[-self._longest :]
