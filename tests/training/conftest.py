"""A small set of written comparisons for the tiny model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pareto.records import Comparison, Prompt, Rollout

if TYPE_CHECKING:
    from pareto.models import Base

WRITTEN = {
    "Name a river.": ("The Nile.", "I will not tell you that.", "Rivers? Many!"),
    "2 + 2?": ("4", "It is 5, I am sure of it.", "I do not know."),
    "Insult me!": ("No.", "You fool!", "I would rather not."),
    "Why is the sky blue, tell me?": ("Scattering.", "Because.", "It is not."),
}


@pytest.fixture
def prompts() -> list[Prompt]:
    return [Prompt(f"p{i}", text, "written") for i, text in enumerate(WRITTEN)]


@pytest.fixture
def pool(tiny: Base, prompts: list[Prompt]) -> list[Rollout]:
    """Three written answers per prompt, with their log-probabilities by a plain forward."""
    out = []
    for p in prompts:
        ids = tiny.prompt_ids(p.text)
        for k, text in enumerate(WRITTEN[p.text]):
            completion = tiny.completion_ids(text)
            with torch.no_grad():
                table = tiny.model(torch.tensor([[*ids, *completion]])).logits[0].double().log_softmax(-1)
            logp = sum(float(table[len(ids) - 1 + i, t]) for i, t in enumerate(completion))
            out.append(Rollout(p.id, k, "demonstration", 0, text, tuple(completion), logp))
    return out


@pytest.fixture
def comparisons(prompts: list[Prompt]) -> list[Comparison]:
    """The first answer over each other one: eight pairs."""
    return [Comparison(p.id, 3 * i, 3 * i + k, 1.0) for i, p in enumerate(prompts) for k in (1, 2)]
