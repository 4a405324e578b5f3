"""Fine-tuning that comes before a sweep: the section ``model.sft`` of a recipe. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pareto.config.section import Section

EXAMPLES = 1
"""Goes up when other examples are written, so that models taught the old ones are not taken for the new."""


class Sft(Section):
    """What the base model is taught before anything is sampled from it; the result is the sweep's base."""

    examples: Literal["arithmetic"]
    """Worked examples, as many as the training needs and none twice; none of the packaged prompts is among them."""
    steps: int = Field(120, ge=1)
    """Optimiser steps."""
    batch_size: int = Field(8, ge=1)
    """Examples per step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Suits an adapter; all weights want about a tenth of it."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps."""
    rank: int | None = Field(16, ge=1)
    """Of a LoRA adapter on all linear layers, merged in the end; ``None``: every weight is trained."""
    seed: int = 0
    """Draws the examples, and A where an adapter is trained."""
