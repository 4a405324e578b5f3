"""helpful: relevance of the completion to the prompt, with a guard against echoing the prompt back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pareto.objectives.encoder import load_encoder
from pareto.objectives.messages import Text, plain

RUN = 3
"""Words in a row that count as copied."""


def helpful(
    prompts: Sequence[Text], completions: Sequence[Text], *, encoder: str | None = None, **columns: Any
) -> list[float | None]:
    """Cosine similarity of prompt and completion, less what was copied.

    A plain similarity is highest for a completion that repeats the prompt, so a policy trained on it learns to
    echo. Hence score = cos(prompt, rest) · (1 − overlap), where *rest* is the completion without the runs of 3 or
    more words that stand in the prompt too, and *overlap* is the share of the completion's word 3-grams that stand in
    the prompt. A pure echo leaves no rest: 0. Removal alone would let an echo with some words changed keep what those
    words earn; the factor alone would let a long copy ride on a short answer. A negative cosine is not multiplied,
    or copying would improve it. Prompts of fewer than 3 words are compared in runs of their own length.

    Args:
        prompts: requests.
        completions: replies; an empty one, or one without words, scores 0.
        encoder: a local folder or hub id of another sentence encoder (mean pooling).
        columns: not looked at.

    Returns:
        One number in [−1, 1] per completion, higher is better.

    Raises:
        ParetoError: the encoder is not installed or cannot be loaded.
    """
    asked = [plain(p) for p in prompts]
    cut = [uncopied(p, plain(c)) for p, c in zip(asked, completions, strict=True)]
    scores: list[float | None] = [0.0] * len(cut)
    rows = [i for i, (rest, _) in enumerate(cut) if rest]
    if not rows:
        return scores
    model = load_encoder(encoder)
    cosines = (model.embed_kept([asked[i] for i in rows]) * model.embed([cut[i][0] for i in rows])).sum(-1)
    for i, cosine in zip(rows, cosines.clip(-1, 1).tolist(), strict=True):
        scores[i] = min(cosine, cosine * (1 - cut[i][1]))
    return scores


def uncopied(prompt: str, completion: str) -> tuple[str, float]:
    """The completion without word runs of the prompt, and the copied share of its n-grams (n = 3, see ``helpful``).

    Returns:
        The rest ('' if no word is left), and the overlap in [0, 1].
    """
    asked = [w.casefold() for w in re.findall(r"\w+", prompt)]
    n = max(1, min(RUN, len(asked)))
    known = {tuple(asked[i : i + n]) for i in range(len(asked) - n + 1)}
    words = list(re.finditer(r"\w+", completion))
    said = [w.group().casefold() for w in words]
    copied = [tuple(said[i : i + n]) in known for i in range(len(said) - n + 1)]

    rest, end = "", 0
    for i, word in enumerate(words):
        if any(copied[max(0, i - n + 1) : i + 1]):
            rest += completion[end : word.start()] + " "
            end = word.end()
    rest = " ".join((rest + completion[end:]).split())
    return (rest if re.search(r"\w", rest) else ""), (sum(copied) / len(copied) if copied else 0.0)
