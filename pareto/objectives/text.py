"""Rule-based scorers of the completion alone: length, concision, sentiment, reading ease, diversity."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pareto.objectives.messages import Text, plain


def length(
    prompts: Sequence[Text],
    completions: Sequence[Text],
    completion_ids: Sequence[Sequence[int]],
    *,
    max_new_tokens: int | Sequence[int],
    **columns: Any,
) -> list[float | None]:
    """Number of tokens, without the end token.

    A completion shorter than the cap has stopped by itself, so its last token is the end token.

    Args:
        prompts: not looked at.
        completions: not looked at.
        completion_ids: the tokens of each completion.
        max_new_tokens: the cap, one for all rows or one for each (TRL repeats a data set's columns).
        columns: not looked at.
    """
    caps = _caps(max_new_tokens, len(completion_ids))
    return [float(_tokens(ids, cap)) for ids, cap in zip(completion_ids, caps, strict=True)]


def concise(
    prompts: Sequence[Text],
    completions: Sequence[Text],
    completion_ids: Sequence[Sequence[int]],
    *,
    max_new_tokens: int | Sequence[int],
    **columns: Any,
) -> list[float | None]:
    """1 − tokens / cap, clipped to [0, 1]; arguments as for ``length``.

    A completion without visible text gets 0, so that saying nothing is not the optimum.
    """
    caps = _caps(max_new_tokens, len(completion_ids))
    return [
        min(1.0, max(0.0, 1 - _tokens(ids, cap) / cap)) if plain(text).strip() else 0.0
        for text, ids, cap in zip(completions, completion_ids, caps, strict=True)
    ]


def _caps(max_new_tokens: int | Sequence[int], rows: int) -> Sequence[int]:
    return [max_new_tokens] * rows if isinstance(max_new_tokens, int) else max_new_tokens


def _tokens(ids: Sequence[int], cap: int) -> int:
    return len(ids) - 1 if 0 < len(ids) < cap else len(ids)


def sentiment(prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
    """VADER's compound score, from −1 (negative) to 1 (positive); Hutto and Gilbert 2014."""
    analyzer = _vader()
    return [float(analyzer.polarity_scores(plain(c))["compound"]) for c in completions]


@functools.cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def reading_ease(prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
    """Flesch reading ease, clipped to [−100, 120], higher is easier; ``None`` under 3 words.

    206.835 − 1.015 · words / sentences − 84.6 · syllables / words (Flesch 1948), sentences as textstat
    counts them. Syllables are textstat's rule for words outside its dictionary, Pyphen's hyphenation points + 1, for
    all words: textstat would download the dictionary at its first use, and a score must not depend on the network.
    """
    import textstat

    scores: list[float | None] = []
    for text in map(plain, completions):
        words = _words(text)
        if len(words) < 3:
            scores.append(None)
            continue
        per_sentence = len(words) / max(1, textstat.sentence_count(text))
        per_word = sum(_syllables(w) for w in words) / len(words)
        scores.append(min(120.0, max(-100.0, 206.835 - 1.015 * per_sentence - 84.6 * per_word)))
    return scores


@functools.lru_cache(maxsize=65536)
def _syllables(word: str) -> int:
    return len(_hyphenation().positions(word)) + 1


@functools.cache
def _hyphenation() -> Any:
    from pyphen import Pyphen  # type: ignore[import-untyped]

    return Pyphen(lang="en_US")


def distinct_2(prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
    """Distinct word pairs over all word pairs, in (0, 1]; ``None`` under 2 words. Li et al. 2016, per completion."""
    scores: list[float | None] = []
    for text in map(plain, completions):
        words = _words(text)
        pairs = list(pairwise(words))
        scores.append(len(set(pairs)) / len(pairs) if pairs else None)
    return scores


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.casefold())
