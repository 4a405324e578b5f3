"""Rewards by a trained sequence classifier (``model:<folder or hub id>``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pareto.errors import ParetoError
from pareto.objectives.messages import Text, plain
from pareto.objectives.pretrained import pretrained

BATCH = 32


class RewardModel:
    """Scores (prompt, completion) as a text pair, by the logit of a single-label model or a label's probability."""

    def __init__(self, source: str, label: str | int | None = None) -> None:
        """Load the classifier, once for all batches.

        Args:
            source: a local folder or hub id that ``AutoModelForSequenceClassification`` loads.
            label: name or index of the label whose probability is the score; none for a single-label model.

        Raises:
            ParetoError: it cannot be loaded, its head is untrained, or the label does not fit.
        """
        self._model, self._tokenizer = pretrained("AutoModelForSequenceClassification", source, "reward model")
        config = self._model.config
        self._index = _index(source, config.id2label, label)
        self._independent = config.problem_type == "multi_label_classification"
        if self._tokenizer.pad_token is None:  # decoders come without; the mask hides whatever pads
            self._tokenizer.pad_token = self._tokenizer.eos_token
        if config.pad_token_id is None:
            config.pad_token_id = self._tokenizer.pad_token_id
        self._longest = min(self._tokenizer.model_max_length, getattr(config, "max_position_embeddings", 1 << 30))

    @property
    def range(self) -> tuple[float, float]:
        """A probability's, or a logit's."""
        return (float("-inf"), float("inf")) if self._index is None else (0.0, 1.0)

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
        """One score per completion; pairs longer than the model's context are cut at the longer text's end."""
        import torch

        pairs = [(plain(p), plain(c)) for p, c in zip(prompts, completions, strict=True)]
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        scores: list[float | None] = [None] * len(pairs)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = self._tokenizer(
                [pairs[i][0] for i in rows],
                [pairs[i][1] for i in rows],
                padding=True,
                truncation="longest_first",
                max_length=self._longest,
                return_tensors="pt",
            ).to(self._model.device)
            with torch.inference_mode():
                logits_BL = self._model(**batch).logits.double()
            if self._index is None:
                values = logits_BL[:, 0]
            else:
                values = (logits_BL.sigmoid() if self._independent else logits_BL.softmax(-1))[:, self._index]
            for i, value in zip(rows, values.tolist(), strict=True):
                scores[i] = value
        return scores


def _index(source: str, labels: dict[int, str], label: str | int | None) -> int | None:
    known = f"its labels are {', '.join(f'{i} ({name})' for i, name in sorted(labels.items()))}"
    if len(labels) == 1:
        if label is not None:
            raise ParetoError(f"reward model '{source}' has a single label, its logit is the score: leave out 'label'")
        return None
    if label is None:
        raise ParetoError(f"reward model '{source}' needs the option 'label'; {known}")
    for i, name in labels.items():
        if label in (i, name):
            return i
    raise ParetoError(f"reward model '{source}' has no label '{label}'; {known}")
