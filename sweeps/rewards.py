"""Rewards of our own, as a user writes them: TRL's signature, one number per completion, larger is better.

A recipe names them as ``sweeps.rewards:vowels``.
"""

from typing import Any


def vowels(prompts: list[Any], completions: list[str], completion_ids: list[list[int]], **columns: Any) -> list[float]:
    """Share of characters that are vowels; something that even a random model of bytes can be trained towards."""
    return [sum(c in "aeiouAEIOU" for c in text) / max(len(text), 1) for text in completions]


def digits(prompts: list[Any], completions: list[str], completion_ids: list[list[int]], **columns: Any) -> list[float]:
    """Share of characters that are digits."""
    return [sum(c.isdigit() for c in text) / max(len(text), 1) for text in completions]
