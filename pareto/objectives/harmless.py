"""harmless: 1 − probability of offensive language."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from pareto.objectives.messages import Text, plain


def harmless(prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
    """1 − probability that the completion is offensive, by alt-profanity-check's linear classifier.

    Returns:
        One number in [0, 1] per completion, higher is better; an empty completion offends nobody: 1.
    """
    texts = [plain(c) for c in completions]
    probabilities = _classifier()(texts)
    return [1 - float(p) if t.strip() else 1.0 for t, p in zip(texts, probabilities, strict=True)]


@functools.cache
def _classifier() -> Callable[[list[str]], Sequence[float]]:
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings():
        # The package ships a linear model stored by another version of scikit-learn; its numbers do not change.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        from profanity_check import predict_prob
    return predict_prob  # type: ignore[no-any-return]
