"""Exact duplicates out, near-duplicates together, every group into one split by a stable hash."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from pareto.records import Prompt, Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def normalise(text: str) -> str:
    """The form in which two texts count as the same.

    Case, width, spacing and the sentence's final mark do not matter. Marks inside do: 17 + 25 is not 17 - 25.
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.rstrip(".?! ") or folded


def words(text: str) -> frozenset[str]:
    """The set of words after casefold and without punctuation; the text itself where it has no word."""
    folded = normalise(text)
    return frozenset(re.findall(r"\w+", re.sub(r"['’]", "", folded))) or frozenset([folded])


def drop_duplicates(prompts: Iterable[Prompt]) -> list[Prompt]:
    """One prompt for each normalised text: of the source seen first, and there the smallest text.

    Only the order of the sources decides, not the order inside one.
    """
    ranks: dict[str, int] = {}
    best: dict[str, tuple[int, str, tuple[str, ...], tuple[str, ...]]] = {}
    kept: dict[str, Prompt] = {}
    for prompt in prompts:
        rank = ranks.setdefault(prompt.source, len(ranks))
        key = normalise(prompt.text)
        claim = (rank, prompt.text, prompt.answers, prompt.demonstrations)
        if key not in best or claim < best[key]:
            best[key], kept[key] = claim, prompt
    return list(kept.values())


def group_near_duplicates(texts: Sequence[str], threshold: float) -> list[int]:
    """Label each text with its group.

    Args:
        texts: n texts.
        threshold: least Jaccard similarity of two word sets, in (0, 1], that puts two texts into one group.

    Returns:
        n labels from 0; groups are the connected components of "similar enough".
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places: dict[frozenset[str], int] = {}
    members = [places.setdefault(words(text), len(places)) for text in texts]
    rows, columns = _similar_pairs(list(places), threshold)
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(len(places), len(places)))
    labels = connected_components(graph, directed=False)[1] if places else []
    return [int(labels[member]) for member in members]


def _similar_pairs(sets: Sequence[Collection[str]], threshold: float) -> tuple[list[int], list[int]]:
    """Pairs of sets with Jaccard at or above the threshold.

    Prefix filtering (Chaudhuri, Ganti and Kaushik 2006, "A primitive operator for similarity joins in data
    cleaning"): with the words of each set sorted from rare to common, similar sets share one of the first
    |x| − ⌈threshold·|x|⌉ + 1, so that common words are never looked up.
    """
    counts = Counter(word for item in sets for word in item)
    index: dict[str, list[int]] = defaultdict(list)
    rows: list[int] = []
    columns: list[int] = []
    for i, item in enumerate(sets):
        rare_first = sorted(item, key=lambda word: (counts[word], word))
        prefix = rare_first[: len(item) - math.ceil(threshold * len(item) - 1e-9) + 1]
        for j in {j for word in prefix for j in index[word]}:
            if min(len(item), len(sets[j])) < (threshold - 1e-9) * max(len(item), len(sets[j])):
                continue
            shared = len(set(item) & set(sets[j]))
            if shared / (len(item) + len(sets[j]) - shared) >= threshold:
                rows.append(i)
                columns.append(j)
        for word in prefix:
            index[word].append(i)
    return rows, columns


def split_prompts(
    prompts: Iterable[Prompt], fractions: tuple[float, float, float], threshold: float, seed: int = 0
) -> list[Prompt]:
    """Set each prompt's split and drop exact duplicates.

    A group of near-duplicates goes where the hash of the seed and its smallest normalised text falls, so neither
    the order nor further prompts move a prompt, unless a further prompt joins its group.

    Args:
        prompts: with their ``source``; where two have the same normalised text, the source seen first wins.
        fractions: shares of train, validation and test; sum to 1. Groups are drawn, so sizes vary by √n.
        threshold: Jaccard similarity of word sets that keeps two prompts together, in (0, 1].
        seed: another seed draws other splits.

    Returns:
        The prompts sorted by ``id``; a split may be empty.
    """
    kept = drop_duplicates(prompts)
    labels = group_near_duplicates([prompt.text for prompt in kept], threshold)
    keys: dict[int, str] = {}
    for prompt, label in zip(kept, labels, strict=True):
        text = normalise(prompt.text)
        keys[label] = min(keys.get(label, text), text)
    placed = {label: _draw(f"{seed}\n{key}", fractions) for label, key in keys.items()}
    return sorted(
        (replace(prompt, split=placed[label]) for prompt, label in zip(kept, labels, strict=True)), key=lambda p: p.id
    )


def _draw(key: str, fractions: tuple[float, float, float]) -> Split:
    """The split on which the key's hash, as a number in [0, 1), falls."""
    share = int(digest(key)[:13], 16) / 16**13
    if share < fractions[0]:
        return "train"
    # 1 − test rather than train + validation: rounding must not send anything to a split of share 0.
    return "validation" if share < 1 - fractions[2] and fractions[1] > 0 else "test"


def digest(text: str) -> str:
    """sha256 of the text in UTF-8, hexadecimal: 64 characters."""
    return hashlib.sha256(text.encode()).hexdigest()


def prompt_id(source: str, text: str) -> str:
    """A prompt's id: the same on every machine, 16 hexadecimal characters."""
    return digest(source + text)[:16]
