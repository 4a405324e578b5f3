"""From a recipe's sources to prompts with their splits."""

from __future__ import annotations

from collections import Counter

from pareto.config import Prompts
from pareto.errors import ParetoError
from pareto.prompts.read import read_source
from pareto.prompts.split import SPLITS, digest, split_prompts
from pareto.records import Prompt


def load_prompts(config: Prompts, seed: int = 0) -> list[Prompt]:
    """Read, split and take.

    Args:
        config: the recipe's ``prompts`` section. Its ``max_tokens`` is not checked here: that needs the tokenizer.
        seed: draws the splits and what ``take`` leaves.

    Returns:
        Prompts with ``split`` set, by split (train, validation, test) and then by id. Where a source has fewer than
        ``take`` asks for, all it has.

    Raises:
        ParetoError: a source cannot be read, or a split is left without prompts.
    """
    entries: dict[str, int] = {}
    prompts: list[Prompt] = []
    for entry, source in enumerate(config.sources):
        for prompt in read_source(source):
            entries.setdefault(prompt.id, entry)
            prompts.append(prompt)
    placed = split_prompts(prompts, config.fractions, config.near_duplicates, seed)

    taken: Counter[tuple[int, str]] = Counter()
    kept: list[Prompt] = []
    for prompt in sorted(placed, key=lambda p: digest(f"{seed}\n{p.id}")):
        entry = entries[prompt.id]
        take = config.sources[entry].take
        if take is None or taken[entry, prompt.split] < getattr(take, prompt.split):
            taken[entry, prompt.split] += 1
            kept.append(prompt)

    for split, share in zip(SPLITS, config.fractions, strict=True):
        if all(prompt.split != split for prompt in kept):
            raise ParetoError(
                f"prompts: none for the {split} split: its share is {share:g} of {len(placed)} prompts; "
                f"give more prompts, a larger share in 'fractions', or a larger 'take'"
            )
    return sorted(kept, key=lambda p: (SPLITS.index(p.split), p.id))
