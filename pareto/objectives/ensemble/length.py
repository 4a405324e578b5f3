"""Whether a reward model pays for length (Singhal et al. 2023, arXiv 2310.03716)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.objectives.ensemble.metrics import accuracy
from pareto.records import Pair

Floats = NDArray[np.float64]

MATCHED = 0.1
"""Pairs are matched where the lengths differ by at most this share of the longer."""


def length_bias(pairs: Sequence[Pair], chosen: Floats, rejected: Floats) -> dict[str, Any]:
    """How score and length go together, in words.

    Args:
        pairs: n of them.
        chosen: scores of the chosen completions, (n,).
        rejected: of the rejected, (n,).

    Returns:
        ``correlation``: Pearson's, of score and length within prompts (each prompt's means taken off), every completion
        counted once. ``longer_by_labels``, ``longer_by_model``: share of the pairs without a tie and of different
        length in which the longer one is preferred. ``accuracy_longer``, ``accuracy_shorter``: the model's, where the
        labels prefer the longer or the shorter. ``matched``: pairs of about equal length, and the accuracy among them
        with its interval. NaN where there is nothing to tell by.
    """
    groups = [p.prompt for p in pairs]
    targets = np.array([p.target for p in pairs])
    words = np.array([[len(text.split()) for text in (p.chosen, p.rejected)] for p in pairs], dtype=float)
    longer = np.sign(words[:, 0] - words[:, 1]) * np.sign(targets - 0.5)
    margins = chosen - rejected
    model = np.sign(words[:, 0] - words[:, 1]) * np.sign(margins)
    differs = longer != 0
    near = np.abs(words[:, 0] - words[:, 1]) <= MATCHED * words.max(axis=1)

    def right(rows: NDArray[np.bool_]) -> dict[str, float]:
        return asdict(accuracy(margins[rows], targets[rows], [g for g, take in zip(groups, rows, strict=True) if take]))

    def share(prefers: Floats) -> float:
        return float((1 + prefers[differs]).mean() / 2) if differs.any() else float("nan")

    return {
        "correlation": _within_prompts(pairs, words, chosen, rejected),
        "longer_by_labels": share(longer),
        "longer_by_model": share(model),
        "accuracy_longer": right(longer > 0)["value"],
        "accuracy_shorter": right(longer < 0)["value"],
        "matched": {"pairs": int((near & (targets != 0.5)).sum()), "accuracy": right(near)},
    }


def _within_prompts(pairs: Sequence[Pair], words: Floats, chosen: Floats, rejected: Floats) -> float:
    """Correlation of the deviations from each prompt's means; NaN where lengths or scores do not differ in any."""
    seen: dict[tuple[str, str], tuple[float, float]] = {}
    for pair, lengths, *scores in zip(pairs, words.tolist(), chosen.tolist(), rejected.tolist(), strict=True):
        for text, length, score in zip((pair.chosen, pair.rejected), lengths, scores, strict=True):
            seen[pair.prompt, text] = (length, score)
    prompts = np.unique([prompt for prompt, _ in seen], return_inverse=True)[1]
    values = np.array(list(seen.values()))
    count = np.bincount(prompts)
    means = np.stack([np.bincount(prompts, column) / count for column in values.T], axis=1)
    x, y = (values - means[prompts]).T
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else float("nan")
